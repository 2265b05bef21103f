import { readIdentity } from "../apply/kinds/identity.ts";
import { readMembers } from "../apply/members-file.ts";
import { JijiError } from "../model/errors.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { queryRequestSchema, type QueryEvent, type QueryRequest } from "../model/query-protocol.ts";
import { verifiedMembers } from "../model/membership.ts";
import type { StoreHealth } from "../model/store-figures.ts";
import { parseQuery } from "../store/query/query-parameters.ts";
import { StoreError, type StoreClient } from "../store/store.ts";
import type { Files, Host } from "../system/host.ts";
import { startPiped, type PipedEnd, type StartPiped } from "../system/piped-program.ts";
import { reportFailure, type Out } from "./out.ts";
import { askOwnHealth, findOwnStore, openOwnStore, requireSpec, whyNotReadable, type OwnStore } from "./own-store.ts";
import { parseRequest } from "./requests.ts";

/** What `jiji node query` works with; tests give others. */
export interface QueryPorts {
  readonly startPiped: StartPiped;
  /** the program and the words that make it the reader */
  readonly reader: readonly string[];
  /** opens the store's API with this server's token */
  readonly openStore: (files: Files, spec: NodeSpec) => Promise<StoreClient>;
  /** what the store says of its health, if it does */
  readonly askHealth: (files: Files, spec: NodeSpec) => Promise<StoreHealth | undefined>;
  /** prints a line as it is, and waits until it is on its way, so that nothing piles up here */
  readonly passOn: (line: string) => Promise<void>;
}

/** The installed program itself is the reader. */
export function queryPorts(passOn: (line: string) => Promise<void>): QueryPorts {
  return {
    startPiped,
    reader: [process.execPath, "node", "store-reader"],
    openStore: openOwnStore,
    askHealth: askOwnHealth,
    passOn,
  };
}

/** Memory for data of the reader: enough for the tables of a full mesh, and no harm to a small server. */
const READER_DATA_BYTES = 512 * 1024 * 1024;

/**
 * Beside the processor time. An answer that nobody reads to its end keeps the store from tidying its log, so it does not
 * stay for ever.
 */
const READING_MS = 600_000;

/** The reader and the store's file have one group in common, and that one may only read it. */
const STORE_GROUP = "jiji-corrosion";

/**
 * The reader as a user without rights, who may read the store's file and write no file at all, and who ends when this
 * process does. The kernel counts its processor time and memory.
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

/**
 * `jiji node query`: see query-protocol.ts. `closed`, the end of standard input, breaks it off. Exit 0, or 1 after a line
 * that says why not.
 */
export async function runNodeQuery(
  input: string,
  closed: Promise<void>,
  host: Pick<Host, "files">,
  out: Out,
  ports: QueryPorts,
): Promise<number> {
  try {
    const request = parseRequest(queryRequestSchema, input);
    const spec = await requireSpec(host.files);
    const store = await findOwnStore(host.files, spec);
    if (store.at === "elsewhere") {
      out({ type: "elsewhere", holder: store.holder, name: store.name } satisfies QueryEvent);
      return 0;
    }
    if (request.mode === "write") return await write(request, host.files, spec, out, ports);
    return await read(request, store, { closed, files: host.files, spec, out, ports });
  } catch (error) {
    return reportFailure(error instanceof StoreError ? storeRefused(error) : error, out);
  }
}

function storeRefused(error: StoreError): JijiError {
  return new JijiError("remote", error.message, { hint: "jiji network status shows whether the store runs" });
}

async function write(
  { sql, params }: Extract<QueryRequest, { mode: "write" }>,
  files: Files,
  spec: NodeSpec,
  out: Out,
  { openStore }: QueryPorts,
): Promise<number> {
  const parsed = parseQuery(sql, params ?? undefined);
  if (!parsed.ok) throw new JijiError("usage", parsed.why, { hint: parsed.hint });
  const client = await openStore(files, spec);
  try {
    const done = await client.transact([parsed.statement]);
    const rowsAffected = done.results[0]?.rowsAffected ?? 0;
    out({ type: "written", rowsAffected, version: done.version } satisfies QueryEvent);
    return 0;
  } finally {
    client.close();
  }
}

interface Reading {
  readonly closed: Promise<void>;
  readonly files: Files;
  readonly spec: NodeSpec;
  readonly out: Out;
  readonly ports: QueryPorts;
}

type Readable = Exclude<QueryRequest, { mode: "write" }>;

async function read(request: Readable, store: OwnStore & { at: "here" }, context: Reading): Promise<number> {
  const { files, out } = context;
  const hint = `systemctl start ${store.unit}`;
  const why = await whyNotReadable(files, store);
  if (why !== undefined) {
    out({ type: "away", why, hint } satisfies QueryEvent);
    return 0;
  }
  const seconds = request.mode === "figures" ? 60 : request.seconds;
  const { ports, closed } = context;
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
  void closed.then(() => end(new JijiError("cancelled", "nobody waits for the answer any more")));
  try {
    const isWhole = await relay(program.lines, ports, async (last) => {
      const event = JSON.parse(last) as QueryEvent;
      if (event.type === "away") out({ ...event, why: unreadable(event.why), hint });
      else if (event.type === "figures") out(await completeFigures(event, store, context));
      else await ports.passOn(last);
    });
    const ended = await program.exited;
    if (brokenOff !== undefined) throw brokenOff;
    if (!isWhole || ended.code === null) throw readerFailed(ended, seconds);
    return ended.code;
  } finally {
    clearTimeout(timer);
    program.kill();
  }
}

/**
 * Passes the reader's lines on, at the pace of who reads them, but the last one, which `end` gets. Gives whether that one
 * was whole.
 */
async function relay(
  lines: AsyncIterable<string>,
  { passOn }: QueryPorts,
  end: (last: string) => Promise<void>,
): Promise<boolean> {
  let last: string | undefined;
  for await (const line of lines) {
    if (last !== undefined) await passOn(last);
    last = line;
  }
  if (last === undefined || !isJson(last)) return false;
  await end(last);
  return true;
}

function unreadable(why: string): string {
  return `the store's file cannot be read; perhaps it does not run (${why})`;
}

type Figures = Extract<QueryEvent, { type: "figures" }>;

/** The reader sees the file's content; its sizes on disk and the running store are asked by who may. */
async function completeFigures(
  { figures }: Figures,
  { path, kind }: OwnStore & { at: "here" },
  { files, spec, ports }: Reading,
): Promise<Figures> {
  const sizeOf = async (file: string): Promise<number | null> => {
    const stat = await files.stat(file);
    return stat.state === "found" ? stat.value.sizeBytes : null;
  };
  const health = (await ports.askHealth(files, spec)) ?? null;
  const [sizeBytes, walBytes] = [await sizeOf(path), await sizeOf(`${path}-wal`)];
  const [identity, known] = [await readIdentity(files), await readMembers(files)];
  const self = identity.state === "found" ? identity.value.identity.id : null;
  const verified = known.state === "found" ? verifiedMembers(known.value) : [];
  const members = verified.map(({ id, name }) => ({ id, name }));
  return { type: "figures", kind, sizeBytes, walBytes, self, members, figures, health };
}

/** A reader that was stopped may have said half a line. */
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
