import { publicAddress } from "./namespaces.ts";
import { isAlive } from "./process-identity.ts";
import { isAbandoned, labDirectory, loadLabState, loadServerStates } from "./state.ts";

/** A lab as `status --json` prints it. */
export interface LabStatus {
  readonly id: string;
  /** `up`; `abandoned`: its process was killed; `remains`: something is left of one that never was complete. */
  readonly state: "up" | "abandoned" | "remains";
  readonly createdAt: string | null;
  readonly directory: string;
  readonly servers: readonly ServerStatus[];
}

export interface ServerStatus {
  readonly name: string;
  readonly address: string;
  readonly release: string;
  readonly engine: string;
  readonly power: "on" | "off";
  /** `delayed`: late, lossy or both */
  readonly link: "ok" | "cut" | "delayed";
}

/** What is known of a lab; looks at nothing but its own records and processes. */
export function statusOf(id: string): LabStatus {
  const lab = loadLabState(id);
  return {
    id,
    state: lab === null ? "remains" : isAbandoned(lab) ? "abandoned" : "up",
    createdAt: lab?.createdAt ?? null,
    directory: labDirectory(id),
    servers: loadServerStates(id).map((server) => ({
      name: server.name,
      address: publicAddress(server.octet),
      release: server.release,
      engine: server.engine,
      power: server.nspawn !== null && isAlive(server.nspawn) ? "on" : "off",
      link: server.cut ? "cut" : server.impairment === null ? "ok" : "delayed",
    })),
  };
}

/** Prints labs as a table for people. */
export function printStatus(labs: readonly LabStatus[]): void {
  if (labs.length === 0) console.log("no lab is up");
  const rows = labs.flatMap((lab) =>
    lab.servers.length === 0
      ? [[lab.id, lab.state, "", "", "", "", "", ""]]
      : lab.servers.map((server, index) => [
          ...(index === 0 ? [lab.id, lab.state] : ["", ""]),
          ...[server.name, server.address, server.release, server.engine, server.power, server.link],
        ]),
  );
  if (rows.length === 0) return;
  const table = [["LAB", "STATE", "SERVER", "ADDRESS", "RELEASE", "ENGINE", "POWER", "LINK"], ...rows];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => (row[column] ?? "").length))) ?? [];
  for (const row of table)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
}
