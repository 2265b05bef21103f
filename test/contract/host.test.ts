import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ProgramMissing, type Host } from "../../src/system/host.ts";
import { ProgramTimeout } from "../../src/system/programs.ts";
import { systemHost } from "../../src/system/system-host.ts";
import { FakeHost } from "../fake-host.ts";

/** The same cases against this machine (in a folder of its own) and against the machine in memory. */
interface Case {
  readonly host: Host;
  readonly root: string;
}

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

function real(): Case {
  const root = mkdtempSync(join(tmpdir(), "jiji-host-"));
  cleanUps.push(() => rmSync(root, { recursive: true, force: true }));
  return { host: systemHost, root };
}

const sh = (args: readonly string[], input: string) => {
  if (args[0] === "upper") return input.toUpperCase();
  return { code: 3, stdout: "", stderr: "no\n" };
};

function fake(): Case {
  const host = new FakeHost({ programs: { tr: (_args, input) => sh(["upper"], input), false: () => sh([], "") } });
  host.put("/tmp/jiji/x", "");
  return { host, root: "/tmp/jiji" };
}

const isRoot = process.getuid?.() === 0;

for (const [name, make] of [
  ["the real host", real],
  ["the fake host", fake],
] as const) {
  describe.skipIf(!isRoot)(name, () => {
    test("what is not there is absent, also below a file", async () => {
      const { host, root } = make();
      await host.files.write(`${root}/file`, "x", { mode: 0o600 });
      for (const path of [`${root}/none`, `${root}/none/below`]) {
        expect(await host.files.read(path)).toEqual({ state: "absent" });
        expect(await host.files.stat(path)).toEqual({ state: "absent" });
        expect(await host.files.list(path)).toEqual({ state: "absent" });
        expect(await host.files.hash(path)).toEqual({ state: "absent" });
      }
      expect(await host.files.read(`${root}/file/below`)).toEqual({ state: "absent" });
      expect(await host.files.list(`${root}/file`)).toEqual({ state: "absent" });
    });

    test("a folder read as a file, and bytes that are no text, are unknown", async () => {
      const { host, root } = make();
      await host.files.write(`${root}/bytes`, new Uint8Array([0xff, 0xfe, 0x00]), { mode: 0o600 });
      expect((await host.files.read(root)).state).toBe("unknown");
      expect((await host.files.hash(root)).state).toBe("unknown");
      expect((await host.files.read(`${root}/bytes`)).state).toBe("unknown");
      expect((await host.files.hash(`${root}/bytes`)).state).toBe("found");
    });

    test("write makes folders, sets mode and owner, and replaces a link instead of following it", async () => {
      const { host, root } = make();
      await host.files.write(`${root}/victim`, "untouched", { mode: 0o600 });
      await host.files.link(`${root}/link`, `${root}/victim`);
      expect(await host.files.stat(`${root}/link`)).toMatchObject({
        value: { type: "link", target: `${root}/victim` },
      });
      expect(await host.files.read(`${root}/link`)).toEqual({ state: "found", value: "untouched" });
      await host.files.write(`${root}/link`, "mine\uFEFF", { mode: 0o640, owner: "root", group: "root" });
      expect(await host.files.read(`${root}/victim`)).toEqual({ state: "found", value: "untouched" });
      expect(await host.files.read(`${root}/link`)).toEqual({ state: "found", value: "mine\uFEFF" });
      expect(await host.files.stat(`${root}/link`)).toEqual({
        state: "found",
        value: { type: "file", mode: 0o640, owner: "root", group: "root", sizeBytes: 7 },
      });
      await host.files.write(`${root}/a/b/c`, "", { mode: 0o644 });
      expect(await host.files.stat(`${root}/a/b`)).toMatchObject({ value: { type: "folder", mode: 0o755 } });
      expect(await host.files.list(root)).toMatchObject({ state: "found" });
      expect(await host.files.list(`${root}/a`)).toEqual({ state: "found", value: ["b"] });
    });

    test("makeFolder may be repeated and corrects mode; setOwner refuses a link", async () => {
      const { host, root } = make();
      await host.files.makeFolder(`${root}/d`, { mode: 0o755 });
      await host.files.makeFolder(`${root}/d`, { mode: 0o750 });
      expect(await host.files.stat(`${root}/d`)).toMatchObject({ value: { type: "folder", mode: 0o750 } });
      await host.files.link(`${root}/l`, `${root}/d`);
      await expect(host.files.setOwner(`${root}/l`, { mode: 0o777 })).rejects.toThrow();
      await host.files.setOwner(`${root}/d`, { mode: 0o700 });
      expect(await host.files.stat(`${root}/d`)).toMatchObject({ value: { mode: 0o700 } });
    });

    test("move replaces; link replaces; remove takes files, links and whole folders, and what is absent", async () => {
      const { host, root } = make();
      await host.files.write(`${root}/new`, "new", { mode: 0o755 });
      await host.files.write(`${root}/d/old`, "old", { mode: 0o600 });
      await host.files.move(`${root}/new`, `${root}/d/old`);
      expect(await host.files.read(`${root}/d/old`)).toEqual({ state: "found", value: "new" });
      expect(await host.files.stat(`${root}/new`)).toEqual({ state: "absent" });
      await expect(host.files.move(`${root}/new`, `${root}/d/old`)).rejects.toThrow();
      await host.files.link(`${root}/l`, "d/old");
      await host.files.link(`${root}/l`, "d");
      expect(await host.files.stat(`${root}/l`)).toMatchObject({ value: { target: "d" } });
      expect(await host.files.list(`${root}/l`)).toEqual({ state: "found", value: ["old"] });
      await host.files.remove(`${root}/l`);
      expect(await host.files.list(`${root}/d`)).toEqual({ state: "found", value: ["old"] });
      await host.files.remove(`${root}/d`);
      await host.files.remove(`${root}/d`);
      expect(await host.files.stat(`${root}/d`)).toEqual({ state: "absent" });
    });

    test("hash is SHA-256 of the content", async () => {
      const { host, root } = make();
      await host.files.write(`${root}/abc`, "abc", { mode: 0o600 });
      const value = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
      expect(await host.files.hash(`${root}/abc`)).toEqual({ state: "found", value });
    });

    test("programs: input, exit code, and one that is not there", async () => {
      const { host } = make();
      expect(await host.programs.run(["tr", "a-z", "A-Z"], { input: "abc" })).toEqual({
        code: 0,
        stdout: "ABC",
        stderr: "",
      });
      expect((await host.programs.run(["false"])).code).toBeGreaterThan(0);
      await expect(host.programs.run(["jiji-no-such-program"])).rejects.toBeInstanceOf(ProgramMissing);
    });
  });
}

describe("only the real host", () => {
  test.skipIf(!isRoot)("setOwner reaches a socket", async () => {
    const { host, root } = real();
    const server = Bun.listen({ unix: `${root}/s`, socket: { data: () => undefined } });
    await host.files.setOwner(`${root}/s`, { mode: 0o660 });
    expect(await host.files.stat(`${root}/s`)).toMatchObject({ value: { type: "other", mode: 0o660 } });
    server.stop(true);
  });

  test("a program gets a clean environment, no terminal, and is killed when its time is up", async () => {
    process.env["JIJI_LEAK"] = "1";
    const environment = await systemHost.programs.run(["env"]);
    expect(environment.stdout.split("\n").filter(Boolean).sort()).toEqual([
      "LC_ALL=C",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
    await expect(systemHost.programs.run(["sleep", "60"], { timeoutMs: 50 })).rejects.toBeInstanceOf(ProgramTimeout);
    expect((await systemHost.programs.run(["sh", "-c", "kill -TERM $$"])).code).toBe(143);
  });

  test("a daemon that keeps the output open does not hold the caller", async () => {
    const result = await systemHost.programs.run(["sh", "-c", "echo started; sleep 3 & exit 0"]);
    expect(result).toMatchObject({ code: 0, stdout: "started\n" });
  });
});
