import { messageOf } from "../model/errors.ts";
import { askAgent } from "../system/agent-client.ts";
import { loadIdentity } from "../apply/kinds/identity.ts";
import { changeMembers, loadMembers } from "../apply/members-file.ts";
import type { AgentAnswer, AgentRequest } from "../model/agent-control.ts";
import type { CollectRequest, GcDone } from "../model/node/gc.ts";
import { PATHS } from "../model/paths.ts";
import { freeNumbers, verifiedMembers } from "../model/membership.ts";
import type { StoreClient, Statement } from "../store/store.ts";
import type { Host } from "../system/host.ts";

/** How the agent of this server is asked; tests give another. */
export interface CollectSources {
  readonly askAgent: (request: AgentRequest) => Promise<AgentAnswer>;
}

export const COLLECT_SOURCES: CollectSources = {
  askAgent: (request) => askAgent(PATHS.agentControlSocket, request),
};

interface Context {
  readonly host: Host;
  readonly store: StoreClient;
  readonly sources: CollectSources;
  /** how many own rows are stale now */
  readonly countOwn: () => Promise<number>;
}

/** By then an agent that was asked to compare its rows has done so. */
const AGENT_MS = 10_000;
const AGENT_PAUSE_MS = 200;

/**
 * Does what the operator has agreed to: first the rows, then the numbers, since nobody may get a number while the store
 * still holds rows of its former holder. A part that fails becomes a problem; the others are done all the same.
 */
export async function runCollect(asked: CollectRequest, context: Context): Promise<GcDone> {
  const request = { ...asked, removed: await stillRemoved(asked, context) };
  const problems: string[] = [];
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      problems.push(`${what}: ${messageOf(error)}`);
      return null;
    }
  };
  const deleted = request.deleteRows
    ? await attempt("rows were not deleted", () => deleteRows(request, context.store))
    : null;
  const mayFree = !request.deleteRows || deleted !== null;
  const freed = mayFree
    ? await attempt("its members.json is as it was", () => freeNumbersHere(request, context))
    : null;
  const left = request.recheckOwn ? await attempt("its agent did not look", () => recheckOwn(context)) : null;
  const told: string[] = [];
  for (const id of request.recheckOthers) {
    const answer = await attempt(`${id} could not be asked`, () =>
      context.sources.askAgent({ type: "recheck", server: id }),
    );
    if (answer?.type === "asked") told.push(id);
  }
  return { type: "collected", deleted, freed: freed ?? [], left, asked: told, problems };
}

/**
 * The removed servers, without those that only the store calls removed and that this server knows as members: somebody
 * may have joined while the operator was asked.
 */
async function stillRemoved(
  { removed }: CollectRequest,
  { host: { files } }: Context,
): Promise<CollectRequest["removed"]> {
  if (removed.every(({ name }) => name !== "")) return removed;
  const [identity, file] = [await loadIdentity(files), await loadMembers(files)];
  const isKnown = identity.state === "found" && file.state === "found";
  const members = new Set<string>(
    isKnown ? [identity.value.identity.id, ...verifiedMembers(file.value).map(({ id }) => id)] : [],
  );
  return removed.filter(({ id, name }) => name !== "" || (isKnown && !members.has(id)));
}

/** One transaction per server, so that none is left with half its rows. The tombstone stays, without the number. */
async function deleteRows({ removed }: CollectRequest, store: StoreClient): Promise<NonNullable<GcDone["deleted"]>> {
  const deleted = { containers: 0, servers: 0 };
  for (const { id, name } of removed) {
    const record = JSON.stringify({ name, subnet: null });
    const statements: readonly Statement[] = [
      { sql: "DELETE FROM containers WHERE server_id = ?", params: [id] },
      { sql: "DELETE FROM servers WHERE id = ?", params: [id] },
      {
        sql:
          "INSERT INTO removed_servers (id, record) VALUES (?, ?) " +
          "ON CONFLICT (id) DO UPDATE SET record = excluded.record WHERE record <> excluded.record",
        params: [id, record],
      },
    ];
    const { results } = await store.transact(statements);
    deleted.containers += results[0]?.rowsAffected ?? 0;
    deleted.servers += results[1]?.rowsAffected ?? 0;
  }
  return deleted;
}

/**
 * Gives the ids whose numbers are free here now, whether or not they were before. Any member can write to the store, so
 * what only the store says does not get into members.json.
 */
async function freeNumbersHere(request: CollectRequest, { host: { files } }: Context): Promise<string[]> {
  const removed = request.removed.filter(({ name }) => name !== "");
  if (removed.length === 0) return [];
  const identity = await loadIdentity(files);
  const self = identity.state === "found" ? identity.value.identity.id : undefined;
  const before = await loadMembers(files);
  if (before.state !== "found") throw new Error(before.state === "unknown" ? before.why : "it is not there");
  const after = await changeMembers(files, (file) => freeNumbers(file, removed, self));
  const free = new Set(after.removed.filter(({ subnet }) => subnet === null).map(({ id }) => id));
  return removed.flatMap(({ id }) => (free.has(id) ? [id] : []));
}

async function recheckOwn({ sources, countOwn, host: { clock } }: Context): Promise<number> {
  const answer = await sources.askAgent({ type: "recheck" });
  if (answer.type !== "asked") throw new Error(answer.type === "refused" ? answer.why : "it answered something else");
  const endMs = clock.monotonicMs() + AGENT_MS;
  for (;;) {
    const left = await countOwn();
    if (left === 0 || clock.monotonicMs() >= endMs) return left;
    await clock.sleep(AGENT_PAUSE_MS);
  }
}
