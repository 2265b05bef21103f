import { describe, expect, test } from "bun:test";
import type { EngineContainer } from "../../engine/engine.ts";
import { Drains } from "./drains.ts";

const container = (change: Partial<EngineContainer> = {}): EngineContainer =>
  ({ id: "a", startedAt: "1", stopSignal: "", ...change }) as EngineContainer;

describe("the engine's stop signal", () => {
  test.each([
    ["", "15", true],
    ["", "SIGTERM", true],
    ["", "9", true],
    ["", "1", false],
    ["SIGQUIT", "3", true],
    ["SIGQUIT", "15", false],
    ["sigusr1", "10", true],
    ["15", "15", true],
    ["SIGRTMIN+3", "37", true],
    ["nonsense", "15", false],
    ["nonsense", "SIGNONSENSE", false],
  ])("of a container that stops with %j: %s hides it: %p", (stopSignal, signal, hides) => {
    const drains = new Drains();
    expect(drains.signalled(container({ stopSignal }), signal, 0)).toBe(hides);
    expect(drains.isDraining(container(), 1)).toBe(hides);
  });

  test("hides until the container was started again, and ten minutes at most", () => {
    const drains = new Drains();
    drains.signalled(container(), "15", 0);
    expect(drains.isDraining(container(), 599_999)).toBe(true);
    expect(drains.isDraining(container({ startedAt: "2" }), 1)).toBe(false);
    expect(drains.isDraining(container(), 600_000)).toBe(false);
  });
});

describe("by command", () => {
  test("lasts until a start or until it is taken back, and is remembered", () => {
    const drains = new Drains();
    drains.drain(container());
    drains.signalled(container({ id: "b" }), "15", 0);
    const restarted = new Drains();
    restarted.load(drains.encode());
    expect(restarted.isDraining(container(), 1e9)).toBe(true);
    expect(restarted.isDraining(container({ id: "b" }), 1)).toBe(false);
    restarted.undo("a");
    expect(restarted.isDraining(container(), 0)).toBe(false);
  });

  test("is not shortened by the engine's stop signal", () => {
    const drains = new Drains();
    drains.drain(container());
    expect(drains.signalled(container(), "15", 0)).toBe(false);
    expect(drains.isDraining(container(), 1e9)).toBe(true);
  });

  test("what is gone or was started again is forgotten", () => {
    const drains = new Drains();
    drains.drain(container());
    drains.drain(container({ id: "b" }));
    drains.retain(new Map([["a", container({ startedAt: "2" })]]), 0);
    expect(drains.encode()).toBe("{}");
  });

  test.each(["", "null", "[]", '{"a":1}', "{"])("%j is not loaded", (text) => {
    const drains = new Drains();
    drains.load(text);
    expect(drains.encode()).toBe("{}");
  });
});
