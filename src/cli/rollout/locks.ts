import { JijiError } from "../../model/errors.ts";
import type { HeldLock, NodeClient } from "../servers/node-client.ts";

/** A server whose lock is wanted; `subnet` is undefined while it has no number. */
export interface LockPlace {
  readonly name: string;
  readonly subnet: number | undefined;
  readonly client: NodeClient;
}

/**
 * Takes the lock of every server, in order of subnet number, then newcomers in order of name. Two operators therefore meet
 * at the first server that both name, and one of them holds no lock yet. The programs start on all servers at once; only
 * the asking is in order. Throws a JijiError that names the holder of a lock; then none is held.
 */
export async function lockAll(
  places: readonly LockPlace[],
  holder: string,
): Promise<{ readonly lost: Promise<string>; release(): Promise<void> }> {
  const ordered = places
    .toSorted(byNumber)
    .map((place) => ({ ...place, asking: place.client.prepareLock({ holder }) }));
  const held: { readonly name: string; readonly lock: HeldLock }[] = [];
  const release = async (): Promise<void> => {
    await Promise.all(held.splice(0).map(({ lock }) => lock.release()));
  };
  try {
    for (const { name, asking } of ordered) {
      const answer = await asking.ask();
      if (answer.state === "busy") throw busy(name, answer.holder, holder, held.at(-1)?.name);
      held.push({ name, lock: answer.lock });
    }
  } catch (error) {
    for (const { asking } of ordered.slice(held.length)) asking.close();
    await release();
    throw error;
  }
  const lost = Promise.race(held.map(({ name, lock }) => lock.gone.then(() => name)));
  return { lost, release };
}

function byNumber(a: LockPlace, b: LockPlace): number {
  return (a.subnet ?? 1000) - (b.subnet ?? 1000) || (a.name < b.name ? -1 : 1);
}

function busy(name: string, other: string, self: string, before: string | undefined): JijiError {
  if (other === self) {
    return new JijiError("conflict", `it is the same server as another of the file (${before ?? "?"})`, {
      server: name,
      hint: "one server stands once in the file; remove one of the two",
    });
  }
  return new JijiError("conflict", `the lock is held by ${other}`, {
    server: name,
    hint: "wait until the other command has ended, then run this one again; nothing was changed",
  });
}
