import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { askControlSocket, startControlSocket } from "./control-socket.ts";

let folder: string;
let path: string;
let control: { close(): Promise<void> };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "control-socket-"));
  path = join(folder, "new", "control.sock");
  control = await startControlSocket<{ n: number }, { sum: number } | { refused: string }>({
    path,
    mode: 0o600,
    request: z.object({ n: z.number() }),
    answer: ({ n }) => {
      if (n < 0) throw new Error("below nothing");
      return { sum: n + 1 };
    },
    refuse: (why) => ({ refused: why }),
  });
});

afterEach(async () => {
  await control.close();
  await rm(folder, { recursive: true });
});

const ask = (request: unknown): Promise<unknown> => askControlSocket(path, request, 1000);

/** What comes back for these octets, until the other side ends. */
function exchange(octets: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = createConnection({ path, allowHalfOpen: true });
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("error", () => resolve(text));
    socket.on("close", () => resolve(text));
    socket.on("end", () => socket.end());
    socket.end(octets);
  });
}

test("a line in, a line out, as often as somebody asks", async () => {
  expect(await ask({ n: 1 })).toEqual({ sum: 2 });
  expect(await exchange('{"n":1}\n{"n":2}\n')).toBe('{"sum":2}\n{"sum":3}\n');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("what cannot be read or answered is refused with a reason", async () => {
  expect(await ask({ n: "x" })).toEqual({ refused: "the request is not one that this release knows" });
  expect(await ask({ n: -1 })).toEqual({ refused: "below nothing" });
  expect(await exchange("nonsense\n")).toBe('{"refused":"the request is not JSON"}\n');
  expect(await exchange("x".repeat(200_000))).toBe("");
  expect(await ask({ n: 1 })).toEqual({ sum: 2 });
});

test("asking nobody, or somebody whose answer is too long, fails", async () => {
  await expect(askControlSocket(path, { n: 1 }, 3)).rejects.toThrow("a line of more than");
  await control.close();
  await expect(ask({ n: 1 })).rejects.toThrow();
});
