import { expect, test } from "bun:test";
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
