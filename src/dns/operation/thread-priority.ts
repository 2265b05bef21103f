import { getPriority, setPriority } from "node:os";

/** Of any program that asks for nothing else. */
const USUAL_NICE = 0;

/** The nice value of the calling thread: Linux keeps one for each, which a new thread has from its creator (setpriority(2)). */
export interface ThreadPriority {
  get(): number;
  /** Throws when it is not allowed. */
  set(nice: number): void;
}

export const OWN_THREAD: ThreadPriority = {
  get: () => getPriority(0),
  set: (nice) => setPriority(0, nice),
};

/**
 * Gives the calling thread the usual priority, if it has a better one. jiji-dns.service runs at a better one, for the sake
 * of the packet thread alone: with that done, containers that use all processors do not delay its answers, nor does the main
 * thread where both share a core and a snapshot is taken in. There is no way back, and none is needed.
 */
export function takeUsualPriority(thread: ThreadPriority): void {
  if (thread.get() < USUAL_NICE) thread.set(USUAL_NICE);
}
