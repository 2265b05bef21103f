import { PATHS } from "../model/paths.ts";
import { cleanStart, renderUnitFile } from "./unit-file.ts";

/** jiji-repair.service: makes this server again as spec.json and members.json say. Started by hand. */
export function renderRepairUnit(): string {
  return renderUnitFile("Makes this server again as it was set up.", {
    Unit: [["Description", "jiji: makes this server again as it was set up"]],
    Service: [
      ["Type", "oneshot"],
      ["SyslogIdentifier", "jiji-repair"],
      ["UMask", "0022"],
      ["ExecStart", cleanStart([], [PATHS.executable, "node", "repair"])],
      ["TimeoutStartSec", "600"],
    ],
  });
}
