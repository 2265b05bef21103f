import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const repository = join(import.meta.dir, "..", "..");

/** fast-check's size "max" has no end: without a bound of length one string may fill the machine's memory. */
test("a property of the largest size has a bound of length", () => {
  const unbounded = [...new Bun.Glob("{src,lab,test,scripts}/**/*.ts").scanSync(repository)].flatMap((file) => {
    const text = readFileSync(join(repository, file), "utf8");
    return [...text.matchAll(/\{[^{}]*\bsize: ?"max"[^{}]*\}/g)]
      .filter(([options]) => !options.includes("maxLength"))
      .map(([options]) => `${file}: ${options}`);
  });
  expect(unbounded).toEqual([]);
});
