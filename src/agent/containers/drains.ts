import { constants } from "node:os";
import { z } from "zod";
import type { EngineContainer } from "../../engine/engine.ts";
import { parseJson } from "../../model/json.ts";

/** A stop signal hides a container no longer than this: some programs take the same signal for something else. */
const LONGEST_STOP_MS = 600_000;

interface Drain {
  readonly startedAt: string;
  /** monotonic; undefined: until it is started again */
  readonly untilMs: number | undefined;
}

const fileSchema = z.record(z.string(), z.string());

/**
 * Containers that still run but are not answered any more, because they are about to stop: an operator has said so, or the
 * engine has sent them their stop signal. The next start of a container ends its drain.
 */
export class Drains {
  readonly #drains = new Map<string, Drain>();

  /** By command: until the container is started again. */
  drain({ id, startedAt }: EngineContainer): void {
    this.#drains.set(id, { startedAt, untilMs: undefined });
  }

  /** Takes a command back. */
  undo(id: string): void {
    this.#drains.delete(id);
  }

  /** The engine sent a signal. Gives whether that is the one by which this container is stopped. */
  signalled(container: EngineContainer, signal: string, nowMs: number): boolean {
    if (signalNumber(signal) !== signalNumber(container.stopSignal || "SIGTERM") && signalNumber(signal) !== 9)
      return false;
    if (this.#drains.get(container.id)?.startedAt === container.startedAt) return false;
    this.#drains.set(container.id, { startedAt: container.startedAt, untilMs: nowMs + LONGEST_STOP_MS });
    return true;
  }

  isDraining({ id, startedAt }: EngineContainer, nowMs: number): boolean {
    const drain = this.#drains.get(id);
    return (
      drain !== undefined && drain.startedAt === startedAt && (drain.untilMs === undefined || nowMs < drain.untilMs)
    );
  }

  /** Forgets containers that are gone or were started again. */
  retain(containers: ReadonlyMap<string, EngineContainer>, nowMs: number): void {
    for (const [id, { startedAt, untilMs }] of this.#drains) {
      const isOver = untilMs !== undefined && nowMs >= untilMs;
      if (isOver || containers.get(id)?.startedAt !== startedAt) this.#drains.delete(id);
    }
  }

  /** What was commanded, as text that {@link load} reads; it has to outlive this process, but not the boot. */
  encode(): string {
    const commanded = [...this.#drains].filter(([, { untilMs }]) => untilMs === undefined);
    return JSON.stringify(Object.fromEntries(commanded.map(([id, { startedAt }]) => [id, startedAt])));
  }

  /** Takes over what {@link encode} wrote; text of any other kind changes nothing. */
  load(text: string): void {
    for (const [id, startedAt] of Object.entries(parseJson(text, fileSchema) ?? {})) {
      this.#drains.set(id, { startedAt, untilMs: undefined });
    }
  }
}

const FIRST_REALTIME_SIGNAL = 34;

function signalNumber(text: string): number {
  if (/^[0-9]{1,2}$/.test(text)) return Number(text);
  const name = text.toUpperCase().replace(/^(SIG)?/, "SIG");
  const realtime = /^SIGRTMIN(?:\+([0-9]{1,2}))?$/.exec(name);
  if (realtime !== null) return FIRST_REALTIME_SIGNAL + Number(realtime[1] ?? 0);
  return Object.entries(constants.signals).find(([each]) => each === name)?.[1] ?? Number.NaN;
}
