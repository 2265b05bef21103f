import { expect, test } from "bun:test";
import { waitFor } from "./wait.ts";

test("resolves to what the condition returned when it first held", async () => {
  let looks = 0;
  const value = await waitFor(() => (++looks < 3 ? null : `look ${looks}`), {
    timeoutMs: 1000,
    what: "x",
    intervalMs: 1,
  });
  expect(value).toBe("look 3");
});

test("an object with `done` is judged by that", async () => {
  let looks = 0;
  const value = await waitFor(() => ({ done: ++looks === 2, seen: looks }), {
    timeoutMs: 1000,
    what: "x",
    intervalMs: 1,
  });
  expect(value.seen).toBe(2);
});

test("a condition that throws is not yet", async () => {
  let looks = 0;
  const look = () => {
    if (++looks < 2) throw new Error("nobody there");
    return true;
  };
  expect(await waitFor(look, { timeoutMs: 1000, what: "x", intervalMs: 1 })).toBe(true);
});

for (const [name, look, message] of [
  ["a value", () => 0, "waited 5 ms for a handshake; last seen: 0"],
  ["a look", () => ({ done: false, seen: "10.0.0.1" }), "waited 5 ms for a handshake; last seen: 10.0.0.1"],
  [
    "an error",
    () => {
      throw new Error("refused");
    },
    "waited 5 ms for a handshake; last error: refused",
  ],
] as const) {
  test(`the error tells what was seen last: ${name}`, async () => {
    await expect(waitFor<unknown>(look, { timeoutMs: 5, what: "a handshake", intervalMs: 1 })).rejects.toThrow(message);
  });
}
