import { expect, test } from "bun:test";
import { Semaphore } from "./semaphore.ts";

const never = new AbortController().signal;

test("so many go at once, the others in the order in which they came", async () => {
  const semaphore = new Semaphore(2);
  const order: number[] = [];
  const leave = [await semaphore.enter(never), await semaphore.enter(never)];
  const later = [3, 4, 5].map(async (n) => {
    const leaveLater = await semaphore.enter(never);
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
  const semaphore = new Semaphore(1);
  const leave = await semaphore.enter(never);
  const controller = new AbortController();
  const cancelled = semaphore.enter(controller.signal);
  const next = semaphore.enter(never);
  controller.abort(new Error("enough"));
  await expect(cancelled).rejects.toThrow("enough");
  leave();
  (await next)();
  await semaphore.enter(never);
  await expect(semaphore.enter(AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
});
