import { expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const FOLDER = join(import.meta.dir, "..", "src", "render", "__golden__");

/**
 * Compares a rendered file with its golden copy, which stands below src/render/__golden__ at the path that it has on a
 * server. `UPDATE_GOLDEN=1` writes the copies anew; look at what changed before committing it.
 */
export function expectGolden(path: string, content: string): void {
  const golden = join(FOLDER, path);
  if (process.env["UPDATE_GOLDEN"] === "1") {
    mkdirSync(dirname(golden), { recursive: true });
    writeFileSync(golden, content);
  }
  if (!existsSync(golden)) throw new Error(`${golden} is missing; run this test with UPDATE_GOLDEN=1`);
  expect(content).toBe(readFileSync(golden, "utf8"));
}
