import { readFileSync } from "node:fs";

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since the machine's start, field 22 of /proc/PID/stat. */
  readonly startTime: string;
}

/** Null: there is no such process (any more). */
export function identifyProcess(pid: number): ProcessIdentity | null {
  const fields = statFields(pid);
  return fields === null ? null : { pid, startTime: fields[19] as string };
}

/** Whether this very process still runs; a zombie does not. */
export function isAlive(process: ProcessIdentity): boolean {
  const fields = statFields(process.pid);
  return fields !== null && fields[19] === process.startTime && fields[0] !== "Z" && fields[0] !== "X";
}

/** Signals this very process; false: it was gone. */
export function signalProcess(target: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(target)) return false;
  try {
    process.kill(target.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** The fields after the command's name, the state first. */
function statFields(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return null;
  }
}
