import { connect } from "node:net";
import type { Ipv4 } from "../../model/address.ts";
import type { Clock } from "../../system/host.ts";
import { SHORTEST_INTERVAL_MS, type CheckSpec } from "./check-spec.ts";

export type CheckState = "starting" | "healthy" | "unhealthy";

/** A running container whose health the agent finds out by itself. */
export interface CheckedContainer {
  readonly id: string;
  readonly address: Ipv4;
  /** another text: another start, and the check begins anew */
  readonly startedAt: string;
  readonly spec: CheckSpec;
}

/** Whether one check succeeds; never rejects. */
export type Check = (address: Ipv4, spec: CheckSpec, signal: AbortSignal) => Promise<boolean>;

export interface HealthChecksOptions {
  readonly clock: Clock;
  /** called when a container's state became another */
  readonly onChange: () => void;
  readonly check?: Check;
}

interface Running {
  readonly key: string;
  readonly stop: AbortController;
  state: CheckState;
}

/** Checks containers, each at its own interval, until they are no longer named. */
export class HealthChecks {
  readonly #options: HealthChecksOptions;
  readonly #running = new Map<string, Running>();

  constructor(options: HealthChecksOptions) {
    this.#options = options;
  }

  /** Says which containers are to be checked; a container that is as it was goes on. */
  update(containers: readonly CheckedContainer[]): void {
    const named = new Map(containers.map((container) => [container.id, container]));
    for (const [id, running] of this.#running) {
      const container = named.get(id);
      if (container !== undefined && keyOf(container) === running.key) continue;
      running.stop.abort();
      this.#running.delete(id);
    }
    for (const container of containers) {
      if (this.#running.has(container.id)) continue;
      const running: Running = { key: keyOf(container), stop: new AbortController(), state: "starting" };
      this.#running.set(container.id, running);
      void this.#run(container, running);
    }
  }

  /** `starting` for a container that has not been checked yet. */
  stateOf(id: string): CheckState {
    return this.#running.get(id)?.state ?? "starting";
  }

  close(): void {
    this.update([]);
  }

  async #run({ address, spec }: CheckedContainer, running: Running): Promise<void> {
    const { clock, onChange, check = checkOnce } = this.#options;
    const { signal } = running.stop;
    let inARow = 0;
    let wasGood = false;
    while (!signal.aborted) {
      const isGood = await check(address, spec, signal);
      if (signal.aborted) return;
      inARow = isGood === wasGood ? inARow + 1 : 1;
      wasGood = isGood;
      const next = nextState(running.state, isGood, inARow, spec);
      if (next !== running.state) {
        running.state = next;
        onChange();
      }
      // A container that starts is asked more often, so that it is published soon after it is ready.
      const pauseMs = running.state === "starting" ? SHORTEST_INTERVAL_MS : spec.intervalMs;
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }
}

function nextState(state: CheckState, isGood: boolean, inARow: number, spec: CheckSpec): CheckState {
  if (isGood) return inARow >= spec.successes ? "healthy" : state;
  return inARow >= spec.failures ? "unhealthy" : state;
}

function keyOf({ address, startedAt, spec }: CheckedContainer): string {
  return JSON.stringify([address, startedAt, spec]);
}

/** So much of an answer is read at most; the status line is all that counts. */
const MAX_ANSWER_BYTES = 4096;

/**
 * One check over the network: a TCP connection that is accepted, or an HTTP answer with a status of 200 to 399. Redirects
 * are answers like any other and are never followed.
 */
export function checkOnce(address: Ipv4, spec: CheckSpec, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: spec.port });
    let answer = "";
    const end = (isGood: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
      socket.destroy();
      resolve(isGood);
    };
    const giveUp = (): void => end(false);
    const timer = setTimeout(giveUp, spec.timeoutMs);
    signal.addEventListener("abort", giveUp, { once: true });
    socket.on("error", giveUp);
    socket.on("close", giveUp);
    socket.on("connect", () => {
      if (spec.protocol === "tcp") end(true);
      else socket.write(`GET ${spec.path} HTTP/1.1\r\nHost: ${address}:${spec.port}\r\nConnection: close\r\n\r\n`);
    });
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1", 0, MAX_ANSWER_BYTES);
      const status = /^HTTP\/1\.[01] ([0-9]{3})[ \r]/.exec(answer)?.[1];
      if (status !== undefined) end(Number(status) >= 200 && Number(status) < 400);
      else if (answer.length >= MAX_ANSWER_BYTES) end(false);
    });
  });
}
