import { once } from "node:events";
import { writeSync } from "node:fs";
import { SUBCOMMAND_NAMES } from "../model/node/subcommands.ts";
import { runNode } from "../node/run-node.ts";
import { systemHost } from "../system/system-host.ts";

/** Runs `jiji node SUBCOMMAND` on this machine; undefined when there is no such subcommand. */
export async function runNodeWords(subcommand: string): Promise<number | undefined> {
  const known = SUBCOMMAND_NAMES.find((name) => name === subcommand);
  if (known === undefined) return undefined;
  return runNode(known, {
    host: systemHost,
    input: process.stdin,
    write: (text) => void process.stdout.write(text),
    writeWhenRoom,
    writeNow,
  });
}

/** Rejects when the reader is gone. */
async function writeWhenRoom(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, "drain");
}

/** Blocks while the reader is busy: only for a process that has nothing else to do. */
function writeNow(text: string): void {
  let rest: Uint8Array = Buffer.from(text, "utf8");
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(PAUSE, 0, 0, 1);
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));
