import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { callNode } from "../../test/node-call.ts";
import { PATHS } from "../model/paths.ts";
import type { Handler } from "./call.ts";
import { runNodeLock } from "./lock.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function asks(path: string, holder: string) {
  const lines: object[] = [];
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  const onLine = (line: object): void => {
    lines.push(line);
    answer();
  };
  const handler: Handler<"lock"> = (request, call) => runNodeLock(request, call, path);
  const code = callNode("lock", { holder }, handler, { onLine, closed }).then((ended) => ended.code);
  return { lines, close, answered, code };
}

test("held while standard input is open; the second one learns by whom; afterwards it is free", async () => {
  const folder = mkdtempSync(join(tmpdir(), "jiji-node-lock-"));
  folders.push(folder);
  const path = join(folder, "lock");
  const ann = asks(path, "ann@laptop, jiji network setup");
  await ann.answered;
  expect(ann.lines).toEqual([{ type: "held" }]);
  const bob = asks(path, "bob");
  expect(await bob.code).toBe(0);
  expect(bob.lines).toEqual([{ type: "busy", holder: "ann@laptop, jiji network setup" }]);
  ann.close();
  expect(await ann.code).toBe(0);
  const carol = asks(path, "carol");
  await carol.answered;
  expect(carol.lines).toEqual([{ type: "held" }]);
  carol.close();
  await carol.code;
  // nothing of jiji is on this machine, so its lock does not stay either
  expect(existsSync(path)).toBe(existsSync(PATHS.manifest));
});

test("a malformed request takes nothing", async () => {
  const path = join(tmpdir(), "jiji-never", "lock");
  const { code, lines } = await callNode("lock", "{", (request, call) => runNodeLock(request, call, path));
  expect(code).toBe(1);
  expect(lines).toMatchObject([{ type: "failed", message: "the request is not JSON" }]);
  expect(existsSync(path)).toBe(false);
});
