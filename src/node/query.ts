import { loadIdentity } from "../apply/kinds/identity.ts";
import { JijiError } from "../model/errors.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { failureSchema } from "../model/node/failure.ts";
import type { Figures, QueryRequest } from "../model/node/query.ts";
import { readerEventSchema } from "../model/node/store-reader.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import type { StoreHealth } from "../model/store-figures.ts";
import { parseQuery } from "../store/query/query-parameters.ts";
import { StoreError, type StoreClient } from "../store/store.ts";
import type { Files } from "../system/host.ts";
import { startPiped, type PipedEnd, type StartPiped } from "../system/piped-program.ts";
import type { Call } from "./call.ts";
import { knownMembers, requireSpec } from "./own-files.ts";
import { askOwnHealth, findOwnStore, openOwnStore, whyNotReadable, type OwnStore } from "./own-store.ts";

/** What `jiji node query` works with; tests give others. */
export interface QueryPorts {
  readonly startPiped: StartPiped;
  /** the command line of the reader */
  readonly reader: readonly string[];
  /** opens the store's API with this server's token */
  readonly openStore: (files: Files, spec: NodeSpec) => Promise<StoreClient>;
  /** what the store says of its health; undefined when it says nothing */
  readonly askHealth: (files: Files, spec: NodeSpec) => Promise<StoreHealth | undefined>;
}

/** The installed program itself is the reader. */
const PORTS: QueryPorts = {
  startPiped,
  reader: [process.execPath, "node", "store-reader"],
  openStore: openOwnStore,
  askHealth: askOwnHealth,
};

/** Memory that the reader may take: enough for the tables of a full mesh, and bearable for a small server. */
const READER_DATA_BYTES = 512 * 1024 * 1024;

/**
 * Time in which the answer has to be read, on top of the processor time. An answer that is not read to its end keeps the
 * store from tidying its log.
 */
const READING_MS = 600_000;

/** The group of the store's file; it may read the file and not write it. */
const STORE_GROUP = "jiji-corrosion";

/**
 * The reader's command line under a user without rights: it may read the store's file, can write no file at all, and ends
 * when this process ends. The kernel limits its processor time and memory.
 */
export function confinedReader(reader: readonly string[], seconds: number): readonly [string, ...string[]] {
  return [
    "setpriv",
    ...["--reuid=nobody", `--regid=${STORE_GROUP}`, "--clear-groups", "--no-new-privs"],
    ...["--inh-caps=-all", "--bounding-set=-all", "--pdeathsig=KILL"],
    "prlimit",
    ...[`--data=${READER_DATA_BYTES}`, "--fsize=0", "--core=0", "--nofile=64", `--cpu=${seconds}:${seconds + 1}`],
    ...reader,
  ];
}

/** `jiji node query`. The end of standard input breaks it off. */
export async function runNodeQuery(
  request: CheckedRequestOf<"query">,
  call: Call<"query">,
  ports: QueryPorts = PORTS,
): Promise<void> {
  const { files } = call.host;
  try {
    const spec = await requireSpec(files);
    const store = findOwnStore(spec);
    if ("holder" in store) {
      const name = (await knownMembers(files)).find(({ subnet }) => subnet === store.holder)?.name ?? null;
      call.say({ type: "elsewhere", holder: store.holder, name });
    } else if (request.mode === "write") await write(request, spec, call, ports);
    else await read(request, store, { call, spec, ports });
  } catch (error) {
    throw error instanceof StoreError ? storeRefused(error) : error;
  }
}

function storeRefused(error: StoreError): JijiError {
  return new JijiError("remote", error.message, { hint: "jiji network status shows whether the store runs" });
}

async function write(
  { sql, params }: Extract<QueryRequest, { mode: "write" }>,
  spec: NodeSpec,
  { host, say }: Call<"query">,
  { openStore }: QueryPorts,
): Promise<void> {
  const parsed = parseQuery(sql, params ?? undefined);
  if (!parsed.ok) throw new JijiError("usage", parsed.why, { hint: parsed.hint });
  const client = await openStore(host.files, spec);
  try {
    const done = await client.transact([parsed.statement]);
    say({ type: "written", rowsAffected: done.results[0]?.rowsAffected ?? 0, version: done.version });
  } finally {
    client.close();
  }
}

interface Reading {
  readonly call: Call<"query">;
  readonly spec: NodeSpec;
  readonly ports: QueryPorts;
}

async function read(
  request: Exclude<QueryRequest, { mode: "write" }>,
  store: OwnStore,
  reading: Reading,
): Promise<void> {
  const { call, ports } = reading;
  const why = await whyNotReadable(call.host.files, store);
  if (why !== undefined) return call.say({ type: "away", why, hint: startHint(store) });
  const seconds = request.mode === "figures" ? 60 : request.seconds;
  const program = ports.startPiped(
    confinedReader(ports.reader, seconds),
    `${JSON.stringify({ path: store.path, request })}\n`,
  );
  let brokenOff: JijiError | undefined;
  const end = (error: JijiError): void => {
    brokenOff ??= error;
    program.kill();
  };
  const timer = setTimeout(() => end(neverRead()), READING_MS + seconds * 1000);
  void call.closed.then(() => end(new JijiError("cancelled", "nobody waits for the answer any more")));
  try {
    const last = await relay(program.lines, call);
    const ended = await program.exited;
    if (brokenOff !== undefined) throw brokenOff;
    if (last === undefined || ended.code === null) throw readerFailed(ended, seconds);
    await sayLast(last, store, reading);
  } finally {
    clearTimeout(timer);
    program.kill();
  }
}

function startHint({ unit }: OwnStore): string {
  return `systemctl start ${unit}`;
}

/** Passes all lines of the reader on but the last, no faster than they are read. Gives the last one if it is whole. */
async function relay(lines: AsyncIterable<string>, { passOn }: Call<"query">): Promise<string | undefined> {
  let last: string | undefined;
  for await (const line of lines) {
    if (last !== undefined) await passOn(last);
    last = line;
  }
  return last !== undefined && isJson(last) ? last : undefined;
}

/** Handles the reader's last line: a failure, a file that cannot be read, figures to complete, or the end as it is. */
async function sayLast(text: string, store: OwnStore, reading: Reading): Promise<void> {
  const { call } = reading;
  const json: unknown = JSON.parse(text);
  const { data: failure } = failureSchema.safeParse(json);
  if (failure !== undefined) throw new JijiError("remote", failure.message, { hint: failure.hint });
  const { data: event } = readerEventSchema.safeParse(json);
  if (event?.type === "away") {
    const why = `the store's file cannot be read; perhaps it does not run (${event.why})`;
    call.say({ type: "away", why, hint: startHint(store) });
  } else if (event?.type === "figures") {
    call.say(await completeFigures(event, store, reading));
  } else {
    await call.passOn(text);
  }
}

/** Adds what the reader has no right to see: sizes on disk, this server's identity and members, the store's health. */
async function completeFigures(
  { figures }: Pick<Figures, "figures">,
  { path, kind }: OwnStore,
  { call, spec, ports }: Reading,
): Promise<Figures> {
  const { files } = call.host;
  const sizeOf = async (file: string): Promise<number | null> => {
    const stat = await files.stat(file);
    return stat.state === "found" ? stat.value.sizeBytes : null;
  };
  const health = (await ports.askHealth(files, spec)) ?? null;
  const [sizeBytes, walBytes] = [await sizeOf(path), await sizeOf(`${path}-wal`)];
  const identity = await loadIdentity(files);
  const self = identity.state === "found" ? identity.value.identity.id : null;
  const members = (await knownMembers(files)).map(({ id, name }) => ({ id, name }));
  return { type: "figures", kind, sizeBytes, walBytes, self, members, figures, health };
}

/** A reader that was stopped may have written half a line. */
function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

function neverRead(): JijiError {
  return new JijiError("remote", `the answer was not read to its end within ${READING_MS / 60_000} minutes`, {
    hint: "write it to a file, or ask for less with LIMIT",
  });
}

function readerFailed({ code, signal, stderr }: PipedEnd, seconds: number): JijiError {
  if (signal === "SIGXCPU" || signal === "SIGKILL") {
    return new JijiError("remote", `the statement was stopped after ${seconds} s of processor time`, {
      hint: "--timeout SECONDS gives it more; a recursive query without an end needs a LIMIT",
    });
  }
  const said = stderr.trim().split("\n").at(-1) ?? "";
  if (signal !== null || code === 0 || said === "") {
    return new JijiError("remote", `the reader of the store ended with ${signal ?? `exit ${code}`}`, {
      hint: "perhaps it needed more memory than it may have: ask for less at a time",
    });
  }
  return new JijiError("remote", `the reader of the store could not be run: ${said}`, {
    hint: "setpriv and prlimit are part of util-linux, and the user nobody has to be there",
  });
}
