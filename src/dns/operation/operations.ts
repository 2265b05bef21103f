import type { DnsSettings } from "../../model/dns-settings.ts";
import { startControlSocket } from "../../system/control-socket.ts";
import type { Clock } from "../../system/host.ts";
import { leavePriorityTo, type Threads } from "../../system/thread-priority.ts";
import type { Sources } from "../feed/sources.ts";
import type { Listeners } from "../packets/listeners.ts";
import type { ProblemLog } from "../telemetry/problem-log.ts";
import { controlRequestSchema, type CheckedRequest, type ControlAnswer } from "./control-protocol.ts";
import { startMetrics } from "./metrics.ts";
import { StatusReport } from "./status-report.ts";

export interface OperationsOptions {
  readonly settings: Pick<DnsSettings, "controlSocket" | "metrics">;
  readonly sources: Sources;
  readonly listeners: Listeners;
  readonly clock: Clock;
  readonly log: ProblemLog;
  readonly releaseMemory: (() => void) | undefined;
  readonly threads: Threads | undefined;
}

/** From a whole snapshot to the garbage collection after it; usually the table has been saved by then. */
const TIDY_MS = 4_000;

/** The compiler is a large part of the program. It works on code that has run for a while, so long after the start. */
const RELEASE_MS = 15_000;

/** What looks after a running jiji-dns: its control socket, its metrics, its memory and the priority of its threads. */
export class Operations {
  /** where metrics are served, once they are */
  metrics: { readonly host: string; readonly port: number } | undefined;
  readonly #options: OperationsOptions;
  readonly #closing: (() => unknown)[] = [];
  #tidying: NodeJS.Timeout | undefined;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { settings, sources, listeners, clock, releaseMemory } = this.#options;
    const report = new StatusReport(sources, listeners, clock);
    if (settings.controlSocket !== null) await this.#startControl(settings.controlSocket, report);
    if (settings.metrics !== null) {
      const service = startMetrics(settings.metrics, report, clock, (where) => {
        this.metrics = where;
      });
      this.#closing.push(() => service.close());
      await service.tried;
    }
    this.tidySoon();
    const releasing = setInterval(() => releaseMemory?.(), RELEASE_MS);
    this.#closing.push(() => clearInterval(releasing));
  }

  async close(): Promise<void> {
    clearTimeout(this.#tidying);
    await Promise.all(this.#closing.map((close) => close()));
  }

  async #startControl(path: string, report: StatusReport): Promise<void> {
    try {
      const control = await startControlSocket<CheckedRequest, ControlAnswer>({
        path,
        mode: 0o660,
        request: controlRequestSchema,
        answer: (request) => report.answer(request),
        refuse: (message) => ({ type: "error", message }),
      });
      this.#closing.push(() => control.close());
    } catch (error) {
      // Names matter more than being asked about them.
      this.#options.log.warn("control", `control socket ${path}: ${String(error)}`);
    }
  }

  /**
   * A snapshot leaves several times its own size behind, and a server that has little to do afterwards would keep that for
   * minutes. The packet thread goes on meanwhile.
   */
  tidySoon(): void {
    clearTimeout(this.#tidying);
    this.#tidying = setTimeout(() => {
      Bun.gc(true);
      this.#options.releaseMemory?.();
    }, TIDY_MS);
    this.#tidying.unref();
  }

  /** Of all threads, only those that answer packets keep the priority that the process began with. */
  leavePriority(): void {
    const { threads, listeners, log } = this.#options;
    const packetThreads = (listeners.sockets?.loops ?? []).flatMap(({ thread }) => thread ?? []);
    if (threads === undefined || packetThreads.length === 0) return;
    try {
      leavePriorityTo(new Set(packetThreads), threads);
    } catch (error) {
      log.warn("priority", `all threads keep their priority: ${String(error)}`);
    }
  }
}
