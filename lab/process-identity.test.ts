import { expect, test } from "bun:test";
import { identifyProcess, isAlive, signalProcess } from "./process-identity.ts";

test("a process is itself until it ends", async () => {
  const child = Bun.spawn(["sleep", "60"]);
  const identity = identifyProcess(child.pid);
  if (identity === null) throw new Error("the child has no identity");
  expect(isAlive(identity)).toBe(true);
  // Another process by the same number is another start time.
  expect(signalProcess({ ...identity, startTime: "1" }, "SIGKILL")).toBe(false);
  expect(signalProcess(identity, "SIGKILL")).toBe(true);
  await child.exited;
  expect(isAlive(identity)).toBe(false);
});
