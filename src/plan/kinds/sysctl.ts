import { PATHS } from "../../model/paths.ts";
import {
  formatPortRanges,
  parsePortRanges,
  rangesOfPorts,
  subtractPortRanges,
  unitePortRanges,
  type PortRange,
} from "../../model/port-ranges.ts";
import { BRIDGE, INTERFACE, PORTS, TRUSTING_PORTS } from "../../model/ports.ts";
import { known, type Reading } from "../../model/reading.ts";
import { renderSysctl } from "../../render/system-files.ts";
import type { NodeGoal } from "../goal.ts";
import { planManagedFile, planRestores, type DesiredFile, type Steps, type SeenFile } from "../managed-file.ts";
import { manifestEntry, type Manifest } from "../manifest.ts";
import { stepsOf, type Step } from "../step.ts";

export const SYSCTL_KIND = "sysctl";

export const RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports";

/** Ports that no outgoing connection of somebody else may be given by chance. */
const KEPT_PORTS = rangesOfPorts([PORTS.corrosionApi, ...TRUSTING_PORTS, PORTS.wireguard]);

export interface SysctlObserved {
  readonly file: SeenFile;
  /** as the kernel prints it */
  readonly reserved: Reading<string>;
  /** whether packets that come in there are forwarded; absent: no such interface */
  readonly forwarding: Readonly<Record<typeof INTERFACE | typeof BRIDGE, Reading<boolean>>>;
}

export type SysctlAction =
  | { readonly op: "reserve"; readonly value: string; readonly before: string }
  /** puts the value back and forgets what it was */
  | { readonly op: "release"; readonly value: string }
  | { readonly op: "forward"; readonly interface: typeof INTERFACE | typeof BRIDGE };

const step = stepsOf<SysctlAction>(SYSCTL_KIND);

/** Kernel settings. Ports that others have reserved stay reserved, now and after teardown. */
export function planSysctl(goal: NodeGoal, observed: SysctlObserved, manifest: Manifest): Steps<SysctlAction> {
  if (goal.phase === "prepare") return [];
  if (goal.phase === "teardown") return [...planRestores(SYSCTL_KIND, manifest), ...planRelease(observed, manifest)];
  const live = liveRanges(observed);
  const value = formatPortRanges(unitePortRanges(live, KEPT_PORTS));
  const before = formatPortRanges(live);
  const file: DesiredFile = { path: PATHS.sysctl, content: renderSysctl(value), mode: 0o644 };
  const summary = `reserve the ports ${formatPortRanges(KEPT_PORTS)}`;
  return [
    ...planManagedFile(SYSCTL_KIND, file, observed.file),
    ...(value === before ? [] : [step("change", RESERVED_PORTS, summary, { op: "reserve", value, before })]),
    ...([INTERFACE, BRIDGE] as const)
      .filter((name) => known(observed.forwarding[name], `forwarding of ${name}`) === false)
      .map((name) => {
        const target = `net.ipv4.conf.${name}.forwarding`;
        return step("change", target, `forward what comes in by ${name}`, { op: "forward", interface: name });
      }),
  ];
}

function liveRanges({ reserved }: SysctlObserved): readonly PortRange[] {
  const ranges = parsePortRanges(known(reserved, RESERVED_PORTS) ?? "");
  if (ranges === undefined) throw new Error(`${RESERVED_PORTS} has a form that is not known`);
  return ranges;
}

function planRelease(observed: SysctlObserved, manifest: Manifest): readonly Step<SysctlAction>[] {
  const entry = manifestEntry(manifest, SYSCTL_KIND, RESERVED_PORTS);
  if (entry === undefined) return [];
  const before = parsePortRanges(typeof entry.before === "string" ? entry.before : "") ?? [];
  const added = subtractPortRanges(KEPT_PORTS, before);
  const value = formatPortRanges(subtractPortRanges(liveRanges(observed), added));
  const summary = `release the ports ${formatPortRanges(added)}`;
  return [step("restore", RESERVED_PORTS, summary, { op: "release", value })];
}
