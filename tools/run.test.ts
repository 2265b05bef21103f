import { expect, test } from "bun:test";
import { mustRun, run } from "./run.ts";

test("output, exit code and input", async () => {
  const result = await run(["sh", "-c", "cat; echo error >&2; exit 3"], { input: "hello" });
  expect(result).toEqual({ code: 3, stdout: "hello", stderr: "error\n" });
});

test("output is passed on while the program runs", async () => {
  const chunks: string[] = [];
  await run(["sh", "-c", "echo é"], { onStdout: (chunk) => chunks.push(chunk) });
  expect(chunks.join("")).toBe("é\n");
});

test("a program that was killed has 128 + signal", async () => {
  expect((await run(["sh", "-c", "kill -9 $$"])).code).toBe(137);
});

test("too long", async () => {
  await expect(run(["sleep", "60"], { timeoutMs: 20 })).rejects.toThrow("sleep 60 did not end within 20 ms");
});

test("no such program", async () => {
  await expect(run(["/no/such/program"])).rejects.toThrow("cannot start /no/such/program");
});

test("mustRun tells what the program said", async () => {
  await expect(mustRun(["sh", "-c", "echo no space >&2; exit 1"])).rejects.toThrow(/failed \(exit 1\):\nno space/);
});
