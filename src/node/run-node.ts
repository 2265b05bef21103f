import type { z } from "zod";
import { JijiError, messageOf } from "../model/errors.ts";
import type { Failure } from "../model/node/failure.ts";
import { SUBCOMMANDS, type Subcommand } from "../model/node/subcommands.ts";
import type { Host } from "../system/host.ts";
import { runNodeApply } from "./apply.ts";
import type { Handler } from "./call.ts";
import { runNodeDns } from "./dns.ts";
import { runNodeDrain } from "./drain.ts";
import { runNodeGc } from "./gc.ts";
import { runNodeInspect } from "./inspect.ts";
import { runNodeLock } from "./lock.ts";
import { runNodeObserve } from "./observe.ts";
import { runNodeQuery } from "./query.ts";
import { runNodeRepair } from "./repair.ts";
import { runNodeResolve } from "./resolve.ts";
import { runNodeStatus } from "./status.ts";
import { runStoreReader } from "./store-reader.ts";

/** The function of each row of {@link SUBCOMMANDS}. */
const HANDLERS: { readonly [Name in Subcommand]: Handler<Name> } = {
  observe: runNodeObserve,
  apply: runNodeApply,
  lock: runNodeLock,
  status: runNodeStatus,
  dns: runNodeDns,
  resolve: runNodeResolve,
  query: runNodeQuery,
  inspect: runNodeInspect,
  drain: runNodeDrain,
  gc: runNodeGc,
  "store-reader": runStoreReader,
  repair: runNodeRepair,
};

/** What `jiji node` is given by the entry point. */
export interface NodePorts {
  readonly host: Host;
  /** standard input: one line, which is the request; its end frees a lock */
  readonly input: AsyncIterable<Uint8Array>;
  /** standard output */
  readonly write: (text: string) => void;
  /** the same for an answer without bounds: resolves when there is room for more. Default: `write` */
  readonly writeWhenRoom?: (text: string) => Promise<void>;
  /** the same for a process that may stand still: gives back when the text is written. Default: `write` */
  readonly writeNow?: (text: string) => void;
}

/** `jiji node SUBCOMMAND` on a server; gives the exit code and never rejects. `handler`: tests give another. */
export async function runNode<Name extends Subcommand>(
  name: Name,
  ports: NodePorts,
  handler: Handler<Name> = HANDLERS[name],
): Promise<number> {
  const { host, write } = ports;
  const { writeWhenRoom = async (text: string) => write(text), writeNow = write } = ports;
  const print = (line: object): void => write(`${JSON.stringify(line)}\n`);
  try {
    const { line, closed } = name === "repair" ? NO_INPUT : await readRequest(ports.input);
    await handler(parseRequest(SUBCOMMANDS[name].request, line), {
      host,
      closed,
      say: print,
      passOn: (text) => writeWhenRoom(`${text}\n`),
      passOnNow: (text) => writeNow(`${text}\n`),
    });
    return 0;
  } catch (error) {
    print(failureOf(error));
    return 1;
  }
}

/** The line that tells the other side of an error. */
export function failureOf(error: unknown): Failure {
  const message = messageOf(error);
  const hint = error instanceof JijiError ? error.hint : undefined;
  return { type: "failed", message, ...(hint === undefined ? {} : { hint }) };
}

/** Repair takes no request: people and a unit start it. */
const NO_INPUT = { line: "null", closed: Promise.resolve() };

/** Longest request: 255 signed records and a spec are well below it. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

/** The first line of the input; `closed` resolves at the input's end. Rejects when the line is too long. */
export async function readRequest(
  input: AsyncIterable<Uint8Array>,
): Promise<{ readonly line: string; readonly closed: Promise<void> }> {
  const iterator = input[Symbol.asyncIterator]();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const next = await iterator.next();
    if (next.done === true) return { line: Buffer.concat(chunks).toString("utf8"), closed: Promise.resolve() };
    const end = next.value.indexOf(0x0a);
    chunks.push(end < 0 ? next.value : next.value.subarray(0, end));
    size += next.value.length;
    if (size > MAX_REQUEST_BYTES) throw new JijiError("usage", "the request is too long");
    if (end >= 0) return { line: Buffer.concat(chunks).toString("utf8"), closed: drain(iterator) };
  }
}

async function drain(iterator: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    while ((await iterator.next()).done !== true);
  } catch {
    // a broken connection ends the input as well
  }
}

/** Reads a request. Its text, which may hold a token, never becomes part of the error. */
function parseRequest<Request>(schema: z.ZodType<Request>, text: string): Request {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new JijiError("usage", "the request is not JSON", { hint: "jiji node is meant for the CLI, not for people" });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map(({ path }) => path.join(".") || "its shape").join(", ");
  throw new JijiError("usage", `the request was refused: ${where} is malformed`, {
    hint: "use the same release of jiji on both sides",
  });
}
