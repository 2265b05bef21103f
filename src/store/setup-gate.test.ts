import { expect, test } from "bun:test";
import { SetupGate } from "./setup-gate.ts";

const never = new AbortController().signal;

test("so many go at once, the others in the order in which they came", async () => {
  const gate = new SetupGate(2);
  const order: number[] = [];
  const leave = [await gate.enter(never), await gate.enter(never)];
  const later = [3, 4, 5].map(async (n) => {
    const leaveLater = await gate.enter(never);
    order.push(n);
    return leaveLater;
  });
  await Promise.resolve();
  expect(order).toEqual([]);
  leave[0]?.();
  (await later[0])?.();
  (await later[1])?.();
  await later[2];
  expect(order).toEqual([3, 4, 5]);
});

test("who is cancelled while waiting takes nobody's turn", async () => {
  const gate = new SetupGate(1);
  const leave = await gate.enter(never);
  const controller = new AbortController();
  const cancelled = gate.enter(controller.signal);
  const next = gate.enter(never);
  controller.abort(new Error("enough"));
  await expect(cancelled).rejects.toThrow("enough");
  leave();
  (await next)();
  await gate.enter(never);
  await expect(gate.enter(AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
});
