import { selectOwnRows, parseOwnRows } from "../agent/containers/mirror.ts";
import { loadIdentity } from "../apply/kinds/identity.ts";
import { loadMembers } from "../apply/members-file.ts";
import { openEngine } from "../engine/open.ts";
import type { Engine } from "../engine/engine.ts";
import { parseContainerRecord, type ContainerRecord } from "../model/container-record.ts";
import type { ServerId } from "../model/keys.ts";
import type { MembersFile } from "../model/members-file.ts";
import type { GcLine, GcRow } from "../model/node/gc.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { ENGINE_NETWORK } from "../model/ports.ts";
import type { Reading } from "../model/reading.ts";
import { verifiedMembers } from "../model/membership.ts";
import { StoreError, type Row, type StoreClient } from "../store/store.ts";
import type { Files } from "../system/host.ts";
import { COLLECT_SOURCES, runCollect, type CollectSources } from "./gc-collect.ts";
import type { Call } from "./call.ts";
import { requireSpec } from "./own-files.ts";
import { openOwnStore } from "./own-store.ts";

/** What a server is asked beside its files; tests give others. */
export interface GcSources extends CollectSources {
  readonly openEngine: (spec: NodeSpec) => Engine;
  readonly openStore: (files: Files, spec: NodeSpec) => Promise<StoreClient>;
}

const SOURCES: GcSources = {
  ...COLLECT_SOURCES,
  openEngine: (spec) => openEngine(spec.engine),
  openStore: openOwnStore,
};

/** At most so many rows of strangers are listed; the rest is only counted. */
const LISTED_ROWS = 5000;

const ROWS_PER_LINE = 200;

/** `jiji node gc`. */
export async function runNodeGc(
  request: CheckedRequestOf<"gc">,
  { host, say }: Call<"gc">,
  sources: GcSources = SOURCES,
): Promise<void> {
  const spec = await requireSpec(host.files);
  const store = await sources.openStore(host.files, spec);
  try {
    const look = (): Promise<OwnLook> => lookAtOwn(host.files, store, sources.openEngine(spec));
    if (request.action === "collect") {
      const countOwn = async (): Promise<number> => (await look()).rows.length;
      say(await runCollect(request, { host, store, sources, countOwn }));
    } else {
      await observe(host.files, store, look, say);
    }
  } finally {
    store.close();
  }
}

interface OwnLook {
  readonly self: ServerId | undefined;
  readonly rows: readonly GcRow[];
  /** why the rows could not be compared with the engine; null: they were */
  readonly uncompared: string | null;
}

/** Reads the own rows before the engine: a container that ends in between is listed although its row is on its way out. */
async function lookAtOwn(files: Files, store: StoreClient, engine: Engine): Promise<OwnLook> {
  const identity = await loadIdentity(files);
  if (identity.state !== "found") return { self: undefined, rows: [], uncompared: "its identity cannot be read" };
  const self = identity.value.identity.id;
  const rows = parseOwnRows((await store.query(selectOwnRows(self))).rows);
  const containers = await engine.containers(ENGINE_NETWORK);
  if (containers.state !== "found") return { self, rows: [], uncompared: whyNot(containers) };
  const known = new Set(containers.value.map(({ id }) => id));
  const stale = [...rows].flatMap(([n, { text, record }]): readonly GcRow[] => {
    const row = containerRow(self, n, record, "absent");
    const isStale = text !== "" && (row.containerId === null || !known.has(row.containerId));
    return isStale ? [row] : [];
  });
  return { self, rows: stale, uncompared: null };
}

function whyNot(reading: Exclude<Reading<unknown>, { state: "found" }>): string {
  return reading.state === "unknown" ? reading.why : "the container engine is not there";
}

function containerRow(owner: string, n: number, record: ContainerRecord | undefined, why: GcRow["why"]): GcRow {
  const what = record === undefined ? null : `${record.project} / ${record.service}`;
  return { table: "containers", owner, n, what, containerId: record?.containerId ?? null, why };
}

async function observe(
  files: Files,
  store: StoreClient,
  look: () => Promise<OwnLook>,
  say: (line: GcLine) => void,
): Promise<void> {
  const file = await requireMembers(files);
  const members = verifiedMembers(file).map(({ id, name, subnet }) => ({ id, name, subnet }));
  const identity = await loadIdentity(files);
  const self = identity.state === "found" ? [identity.value.identity.id] : [];
  const strangers = await readStrangers(store, [...members.map(({ id }) => id), ...self]);
  const tombstones = await store.query({
    sql: "SELECT id FROM removed_servers WHERE octet_length(id) <= 64 LIMIT 1000",
  });
  const own = await look();
  const rows = [...own.rows, ...strangers.rows];
  for (let start = 0; start < rows.length; start += ROWS_PER_LINE) {
    say({ type: "rows", rows: rows.slice(start, start + ROWS_PER_LINE) });
  }
  say({
    type: "seen",
    self: own.self ?? null,
    unlisted: strangers.unlisted,
    members,
    removed: file.removed.map(({ id, name, subnet }) => ({ id, name, subnet })),
    tombstones: tombstones.rows.map(([id]) => String(id)),
    uncompared: own.uncompared,
  });
}

async function requireMembers(files: Files): Promise<MembersFile> {
  const members = await loadMembers(files);
  if (members.state === "found") return members.value;
  throw new StoreError(members.state === "unknown" ? members.why : "it has no members.json; it is no member");
}

const STRANGER = "NOT IN (SELECT value FROM json_each(?))";

/** Rows whose owner is not a member here: it was removed, or nobody knows it. */
async function readStrangers(
  store: StoreClient,
  members: readonly string[],
): Promise<{ readonly rows: readonly GcRow[]; readonly unlisted: number }> {
  const params = [JSON.stringify(members)];
  const record = "CASE WHEN octet_length(record) <= 16384 THEN record ELSE '' END";
  const containers = await store.query({
    sql: `SELECT server_id, n, ${record} FROM containers WHERE server_id ${STRANGER} ORDER BY 1, 2 LIMIT ${LISTED_ROWS}`,
    params,
  });
  const servers = await store.query({
    sql: `SELECT id, CASE WHEN octet_length(name) <= 100 THEN name END FROM servers WHERE id ${STRANGER} ORDER BY 1 LIMIT ${LISTED_ROWS}`,
    params,
  });
  const count = await store.query({ sql: `SELECT count(*) FROM containers WHERE server_id ${STRANGER}`, params });
  return {
    rows: [...servers.rows.map(serverRow), ...containers.rows.map(strangerRow)],
    unlisted: Math.max(0, Number(count.rows[0]?.[0] ?? 0) - LISTED_ROWS),
  };
}

function strangerRow([owner, n, record]: Row): GcRow {
  return containerRow(short(owner), Number(n), parseContainerRecord(String(record)), "not a member");
}

function serverRow([owner, name]: Row): GcRow {
  const what = typeof name === "string" ? name : null;
  return { table: "servers", owner: short(owner), n: null, what, containerId: null, why: "not a member" };
}

/** Any member can write any id into the store. */
function short(owner: unknown): string {
  return String(owner).slice(0, 100);
}
