import { expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SOURCE = join(import.meta.dir, "..", "..", "src", "cli");

/** Writes through the sink that commands get, 64 kB at a time, until there is no room or nobody reads; says which on stderr. */
const WRITER = `
import { systemContext } from ${JSON.stringify(join(SOURCE, "system-context.ts"))};
const { stdout } = systemContext();
const text = "x".repeat(65536);
let count = 0;
let state;
do {
  stdout.write(text);
  count += 1;
  const late = new Promise((resolve) => setTimeout(resolve, 1000, "full"));
  state = await Promise.race([stdout.room(), late]);
} while (state === true && count < 2000);
process.stderr.write(JSON.stringify({ state, count }));
process.exit(0);
`;

/** The writer, with its output piped into a program that never reads it, as a shell does it. */
function write(reader: string): Bun.Subprocess<"ignore", "ignore", "pipe"> {
  const argv = ["sh", "-c", `"$@" | ${reader}`, "sh", process.execPath, "--no-env-file", "-e", WRITER];
  return Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
}

async function outcomeOf(reader: string): Promise<{ readonly state: unknown; readonly count: number }> {
  const writer = write(reader);
  const text = await new Response(writer.stderr).text();
  await writer.exited;
  return JSON.parse(text) as { state: unknown; count: number };
}

test("nobody reads for a while: there is no room before much has been written", async () => {
  const { state, count } = await outcomeOf("sleep 4");
  expect(state).toBe("full");
  expect(count).toBeLessThan(100);
}, 30_000);

test("nobody reads any more: so it is said", async () => {
  const { state, count } = await outcomeOf("true");
  expect(state).toBe(false);
  expect(count).toBeLessThan(2000);
}, 30_000);

test("a pipe is no terminal, not even where CI=true asks for colours", () => {
  const script = `
    import { systemContext } from ${JSON.stringify(join(SOURCE, "system-context.ts"))};
    import { Output } from ${JSON.stringify(join(SOURCE, "output.ts"))};
    const context = systemContext();
    new Output(context, context.env, "normal").error("lost", "look again");
    process.exit(context.stdout.isTerminal === false ? 0 : 1);`;
  const ended = Bun.spawnSync([process.execPath, "--no-env-file", "-e", script], {
    env: { ...process.env, CI: "true" },
  });
  expect(ended.stderr.toString()).toBe("error: lost\nhint: look again\n");
  expect(ended.exitCode).toBe(0);
});

/** A command that waits for an answer of a server which never comes, and would wait for a minute after an interruption. */
const WAITING = `
import { systemContext } from ${JSON.stringify(join(SOURCE, "system-context.ts"))};
const context = systemContext();
const ssh = context.openSsh({ privateKeys: [], keysOnly: false, proxy: undefined, proxyCommand: undefined, config: "none", timeoutMs: 60000 });
void ssh.connect({ name: "web1", host: "web1", user: undefined, port: undefined }, context.interrupted).catch(() => undefined);
setTimeout(() => process.exit(0), 60000);
`;

async function isAlive(pid: number): Promise<boolean> {
  const stat = await Bun.file(`/proc/${pid}/stat`)
    .text()
    .catch(() => "x) Z");
  return !/\) Z/.test(stat);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  test(`${signal} is said, a command that does not end is ended within 10 s, a second one ends it at once`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "jiji-signal-"));
    try {
      writeFileSync(join(folder, "ssh"), `#!/bin/sh\necho $$ >> ${folder}/pids\nexec sleep 60\n`);
      chmodSync(join(folder, "ssh"), 0o755);
      const start = () =>
        Bun.spawn([process.execPath, "--no-env-file", "-e", WAITING], {
          env: { ...process.env, PATH: `${folder}:${process.env["PATH"] ?? ""}` },
          stderr: "pipe",
        });
      const patient = start();
      const hasty = start();
      const pids = async (): Promise<number[]> =>
        (
          await Bun.file(join(folder, "pids"))
            .text()
            .catch(() => "")
        )
          .trim()
          .split("\n")
          .filter(Boolean)
          .map(Number);
      while ((await pids()).length < 2) await Bun.sleep(20);
      const startedMs = performance.now();
      patient.kill(signal);
      hasty.kill(signal);
      await Bun.sleep(300);
      hasty.kill(signal);
      expect(await hasty.exited).toBe(130);
      expect(performance.now() - startedMs).toBeLessThan(2_000);
      expect(await patient.exited).toBe(130);
      expect(performance.now() - startedMs).toBeLessThan(10_000);
      expect(await new Response(patient.stderr).text()).toContain("interrupted: ending what runs on the servers");
      for (const pid of await pids()) expect(await isAlive(pid)).toBe(false);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 30_000);
}
