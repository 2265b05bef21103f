import { systemClock } from "./clock.ts";
import { systemFiles } from "./files.ts";
import type { Host } from "./host.ts";
import { systemPrograms } from "./programs.ts";

/** This machine. */
export const systemHost: Host = { programs: systemPrograms, files: systemFiles, clock: systemClock };
