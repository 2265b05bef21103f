import { JijiError } from "../model/errors.ts";
import { REMOTE_SUBCOMMANDS } from "../system/bootstrap-script.ts";
import type { Host } from "../system/host.ts";
import { runNodeApply } from "./apply.ts";
import { runNodeDrain } from "./drain.ts";
import { runNodeDns } from "./dns.ts";
import { gcSources, runNodeGc } from "./gc.ts";
import { COLLECT_SOURCES } from "./gc-collect.ts";
import { runNodeInspect } from "./inspect.ts";
import { runNodeLock } from "./lock.ts";
import { runNodeObserve } from "./observe.ts";
import { reportFailure, type Out } from "./out.ts";
import { queryPorts, runNodeQuery } from "./query.ts";
import { runNodeRepair } from "./repair.ts";
import { runNodeResolve } from "./resolve.ts";
import { MAX_REQUEST_BYTES } from "./requests.ts";
import { runNodeStatus } from "./status.ts";
import { runStoreReader } from "./store-reader.ts";

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

/** The last ones are for the server itself. */
export const NODE_SUBCOMMANDS = [...REMOTE_SUBCOMMANDS, "store-reader", "repair"] as const;

export type NodeSubcommand = (typeof NODE_SUBCOMMANDS)[number];

/** `jiji node SUBCOMMAND` on a server; gives the exit code and never rejects. */
export async function runNode(subcommand: NodeSubcommand, ports: NodePorts): Promise<number> {
  const { host, write } = ports;
  const { writeWhenRoom = async (text: string) => write(text), writeNow = write } = ports;
  const out: Out = (line) => write(`${JSON.stringify(line)}\n`);
  if (subcommand === "repair") return runNodeRepair(host, out);
  try {
    const { line, closed } = await readRequest(ports.input);
    switch (subcommand) {
      case "observe":
        return await runNodeObserve(line, host, out);
      case "apply":
        return await runNodeApply(line, host, out);
      case "status":
        return await runNodeStatus(line, host, out);
      case "dns":
        return await runNodeDns(line, out);
      case "resolve":
        return await runNodeResolve(line, host, out);
      case "drain":
        return await runNodeDrain(line, out);
      case "inspect":
        return await runNodeInspect(line, host, out);
      case "query":
        return await runNodeQuery(
          line,
          closed,
          host,
          out,
          queryPorts((text) => writeWhenRoom(`${text}\n`)),
        );
      case "gc":
        return await runNodeGc(line, host, out, gcSources(COLLECT_SOURCES));
      case "store-reader":
        return runStoreReader(line, (text) => writeNow(`${text}\n`));
      case "lock":
        return await runNodeLock(line, closed, out);
    }
  } catch (error) {
    return reportFailure(error, out);
  }
}

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
    // a broken connection is an end too
  }
}
