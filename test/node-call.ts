import { FakeHost } from "./fake-host.ts";
import type { Subcommand } from "../src/model/node/subcommands.ts";
import type { Handler } from "../src/node/call.ts";
import { runNode } from "../src/node/run-node.ts";
import type { Host } from "../src/system/host.ts";

export interface CallOptions {
  readonly host?: Host;
  /** sees each line as it is said */
  readonly onLine?: (line: object) => void;
  /** the end of standard input; default: at once */
  readonly closed?: Promise<void>;
}

/** Runs `jiji node SUBCOMMAND` with a handler of the test's making, from the request's text to the lines that answer. */
export async function callNode<Name extends Subcommand>(
  name: Name,
  request: unknown,
  handler?: Handler<Name>,
  { host = new FakeHost(), onLine, closed }: CallOptions = {},
): Promise<{ readonly code: number; readonly lines: readonly object[] }> {
  const lines: object[] = [];
  const write = (text: string): void => {
    const line = JSON.parse(text) as object;
    lines.push(line);
    onLine?.(line);
  };
  const text = typeof request === "string" ? request : JSON.stringify(request);
  const code = await runNode(name, { host, input: inputOf(text, closed), write }, handler);
  return { code, lines };
}

async function* inputOf(text: string, closed: Promise<void> | undefined): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`${text}\n`);
  await closed;
}
