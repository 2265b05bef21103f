import { unknown, type Reading } from "../model/reading.ts";
import type { UnitState } from "../plan/unit-state.ts";
import type { Host } from "../system/host.ts";
import { look } from "./look.ts";

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
