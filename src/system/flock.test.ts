import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeLocks, takeLock } from "./flock.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function lockPath(): string {
  const folder = mkdtempSync(join(tmpdir(), "jiji-lock-"));
  folders.push(folder);
  return join(folder, "lock");
}

test("one holds it, the other learns by whom, and gets it afterwards", async () => {
  const path = lockPath();
  const first = await takeLock(path, "ann@laptop, setup");
  if (first.state !== "held") throw new Error("not held");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await takeLock(path, "bob")).toEqual({ state: "busy", holder: "ann@laptop, setup" });
  await first.lock.release();
  const second = await takeLock(path, "bob");
  expect(second.state).toBe("held");
  if (second.state === "held") await second.lock.release();
});

test("another process that dies gives it back", async () => {
  const path = lockPath();
  const child = Bun.spawn([process.execPath, "-e", SCRIPT, path, import.meta.dir], { stdout: "pipe" });
  const reader = child.stdout.getReader();
  await reader.read();
  expect(await takeLock(path, "me")).toEqual({ state: "busy", holder: "child" });
  child.kill("SIGKILL");
  await child.exited;
  expect((await takeLock(path, "me")).state).toBe("held");
});

const SCRIPT = `
  const [path, folder] = process.argv.slice(-2);
  const { takeLock } = await import(folder + "/flock.ts");
  await takeLock(path, "child");
  console.log("held");
  setInterval(() => undefined, 1000);
`;

// security-tests: run-jiji-is-roots
test("a link in its place is refused, and what it leads to is not touched", async () => {
  const path = lockPath();
  writeFileSync(`${path}.victim`, "precious");
  symlinkSync(`${path}.victim`, path);
  await expect(takeLock(path, "me")).rejects.toThrow();
  expect(await Bun.file(`${path}.victim`).text()).toBe("precious");
});

test("removed while held, the next one gets a new file, and the folder goes with the last", async () => {
  const path = lockPath();
  const first = await takeLock(path, "first");
  rmSync(path);
  expect((await takeLock(path, "second")).state).toBe("held");
  await removeLocks([path]);
  expect(existsSync(join(path, ".."))).toBe(false);
  if (first.state === "held") await first.lock.release();
});
