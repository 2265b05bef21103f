import { expect, test } from "bun:test";
import { join } from "node:path";

test("the demo works from the first line to the last, on real Corrosion, and leaves nothing behind", async () => {
  const root = join(import.meta.dir, "..", "..");
  const demo = Bun.spawn([process.execPath, "--no-env-file", join(root, "lab", "demo.ts")], {
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
  expect(stderr).not.toContain("embedded store");
  expect(stderr).toContain("All of it worked and nothing was left behind");
}, 600_000);
