import { join } from "node:path";
import { PATHS } from "../model/paths.ts";
import { unknown, type Reading } from "../model/reading.ts";
import type { UnitState } from "../plan/kinds/unit.ts";
import type { Files, Host } from "../system/host.ts";
import { look, runChecked } from "./programs.ts";

/** What systemd says of one unit. A unit that it has no file for is absent. */
export async function observeUnit(host: Host, unit: string): Promise<Reading<UnitState>> {
  const output = await look(host, ["systemctl", "show", "-p", "LoadState,ActiveState,UnitFileState", unit]);
  if (output.state !== "found") return output;
  const values = new Map(
    output.value.split("\n").map((line): [string, string] => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
  const load = values.get("LoadState");
  if (load === undefined) return unknown(`systemctl show ${unit} says nothing of it`);
  if (load === "not-found") return { state: "absent" };
  const active = values.get("ActiveState");
  return {
    state: "found",
    value: {
      enabled: values.get("UnitFileState") === "enabled",
      active: active === "active" || active === "activating" || active === "reloading",
    },
  };
}

/**
 * A unit is due for a restart from before a file that it reads changes until it has been restarted and answered. Kept
 * under /run, which is empty after a boot, when every unit has just been started anyway.
 */
export async function markPending(files: Files, unit: string): Promise<void> {
  await files.write(join(PATHS.pendingRestarts, unit), "", { mode: 0o600 });
}

export async function clearPending(files: Files, unit: string): Promise<void> {
  await files.remove(join(PATHS.pendingRestarts, unit));
}

/** Names of the units that are due. */
export async function observePending(files: Files): Promise<Reading<ReadonlySet<string>>> {
  const names = await files.list(PATHS.pendingRestarts);
  if (names.state === "unknown") return names;
  return { state: "found", value: new Set(names.state === "found" ? names.value : []) };
}

/** What the marker is called while systemd has not read its unit files again. */
export const RELOAD_MARKER = "daemon-reload";

/** Lets systemd read its unit files again. */
export async function reloadUnits(host: Host): Promise<void> {
  await runChecked(host, ["systemctl", "daemon-reload"]);
  await clearPending(host.files, RELOAD_MARKER);
}
