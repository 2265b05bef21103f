import type { Mesh } from "../../desired/mesh.ts";
import { JijiError } from "../../model/errors.ts";
import type { ServerId } from "../../model/keys.ts";
import type { ApplyDone, ApplyEvent } from "../../model/node/apply.ts";
import { isNewer } from "../../model/revision.ts";
import { verifyServerRecord, type SignedServerRecord } from "../../model/server-record.ts";
import type { ServerRun, Work } from "../rollout/work.ts";
import { runOnServer } from "../rollout/server-run.ts";
import type { SetupServer } from "./planning.ts";

/** What became of one server; its id once it is known. */
export interface RoundsRun extends ServerRun {
  readonly id: ServerId | undefined;
}

interface Progress {
  run: ServerRun;
  record: SignedServerRecord | undefined;
}

/**
 * The two rounds: prepare on all (so that everybody's key is known), then join on all. A server that fails is left out of
 * what follows and does not stop the others. What it has is valid, and a later run goes on from there.
 */
export async function applyRounds(
  work: Work,
  servers: readonly SetupServer[],
  mesh: Mesh,
): Promise<ReadonlyMap<string, RoundsRun>> {
  const { context, output, options } = work;
  const progress = new Map(
    servers.map((server): [SetupServer, Progress] => [
      server,
      { run: { error: undefined, notes: [], tookMs: 0 }, record: undefined },
    ]),
  );
  let storeToken: string | undefined;

  const run = async (
    server: SetupServer,
    done: string,
    apply: (onEvent: (event: ApplyEvent) => void) => Promise<ApplyDone>,
  ): Promise<void> => {
    const before = progress.get(server);
    const { run: now, answer } = await runOnServer(work, server, done, apply);
    progress.set(server, {
      record: answer?.record ?? before?.record,
      run: {
        error: now.error,
        notes: [...new Set([...(before?.run.notes ?? []), ...now.notes])],
        tookMs: (before?.run.tookMs ?? 0) + now.tookMs,
      },
    });
  };

  output.progress("round 1 of 2: programs, identity and keys");
  await Promise.all(
    servers
      .filter(({ selected }) => selected)
      .map((server) =>
        run(server, "prepared", async (onEvent) => {
          const goal = { phase: "prepare", spec: server.spec } as const;
          const answer = await server.client.apply({ goal, restartEngine: false }, onEvent);
          // The holder of an embedded store makes its token.
          storeToken ??= answer.storeToken;
          if (answer.record === undefined || !verifyServerRecord(answer.record).ok) {
            throw new JijiError("remote", "it gave no valid record of itself", { server: server.name });
          }
          return answer;
        }),
      ),
  );
  context.interrupted.throwIfAborted();

  const members = newestRecords(
    mesh,
    [...progress.values()].flatMap(({ record }) => record ?? []),
  );
  const token = storeToken === undefined ? {} : { storeToken };
  output.progress("round 2 of 2: network, tunnels, store, agent, DNS");
  await Promise.all(
    servers
      .filter((server) => progress.get(server)?.run.error === undefined)
      .map((server) =>
        run(server, "joined", (onEvent) => {
          const goal = { phase: "join", spec: server.spec, members, expected: [] } as const;
          return server.client.apply({ goal, restartEngine: options.restartEngine, ...token }, onEvent);
        }),
      ),
  );
  return new Map(
    [...progress].map(([{ name, member }, { run: done, record }]) => [name, { ...done, id: record?.id ?? member }]),
  );
}

/** The newest record of every member, those that were just made included. */
function newestRecords(mesh: Mesh, made: readonly SignedServerRecord[]): readonly SignedServerRecord[] {
  const newest = new Map(mesh.members.map((known) => [known.member.id, known]));
  for (const signed of made) {
    const verified = verifyServerRecord(signed);
    if (!verified.ok) continue;
    const { member } = verified;
    if (isNewer(member, newest.get(member.id)?.member)) newest.set(member.id, { member, signed });
  }
  return [...newest.values()].map(({ signed }) => signed);
}
