import { readdirSync, readlinkSync } from "node:fs";
import { getPriority, setPriority } from "node:os";

/** Of any program that asks for nothing else. */
const USUAL_NICE = 0;

/** The threads of this process and their nice values: Linux keeps one for each (setpriority(2), proc(5)). */
export interface Threads {
  /** numbers of all threads */
  list(): readonly number[];
  nice(thread: number): number;
  /** Throws when it is not allowed. */
  setNice(thread: number, nice: number): void;
}

export const OWN_THREADS: Threads = {
  list: () => readdirSync("/proc/self/task").map(Number),
  nice: (thread) => getPriority(thread),
  setNice: (thread, nice) => setPriority(thread, nice),
};

/** The number of the thread that calls it; undefined where threads have none (not Linux). */
export function ownThread(): number | undefined {
  try {
    return Number(readlinkSync("/proc/thread-self").split("/").at(-1));
  } catch {
    return undefined;
  }
}

/**
 * Lowers every thread but the packet threads to the usual priority. jiji-dns.service starts with a better one, for the packet
 * threads alone: so reading a whole snapshot costs no answers when both share a core. A new thread has the priority of the
 * one that created it, and a priority cannot be raised again: a packet thread that is started again has the usual one.
 */
export function leavePriorityTo(packetThreads: ReadonlySet<number>, threads: Threads): void {
  for (const thread of threads.list()) {
    if (packetThreads.has(thread)) continue;
    try {
      if (threads.nice(thread) < USUAL_NICE) threads.setNice(thread, USUAL_NICE);
    } catch (error) {
      // A thread that has ended meanwhile needs nothing.
      if (
        !(error instanceof Error && "code" in error && error.code === "ERR_SYSTEM_ERROR" && /ESRCH/.test(error.message))
      )
        throw error;
    }
  }
}
