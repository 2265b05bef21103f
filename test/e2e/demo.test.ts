import { expect, test } from "bun:test";
import { join } from "node:path";

async function runDemo(...options: readonly string[]): Promise<string> {
  const root = join(import.meta.dir, "..", "..");
  const demo = Bun.spawn([process.execPath, "--no-env-file", join(root, "lab", "demo.ts"), ...options], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(demo.stdout).text(),
    new Response(demo.stderr).text(),
    demo.exited,
  ]);
  expect(code === 0 ? "" : `${stdout}\n${stderr}`).toBe("");
  expect(stderr).toContain("All of it worked, and nothing was left behind");
  return stderr;
}

test("the demo works from the first line to the last, on real Corrosion, and leaves nothing behind", async () => {
  expect(await runDemo()).not.toContain("embedded store");
}, 600_000);

test("where Corrosion cannot be had it works too, and says on what", async () => {
  const said = await runDemo("--store", "embedded");
  expect(said).toContain("the network runs on the embedded store");
  expect(said).toContain("records are kept on web1 alone");
}, 600_000);
