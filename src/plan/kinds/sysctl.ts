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
import type { Reading } from "../../model/reading.ts";
import { renderSysctl } from "../../render/system-files.ts";
import type { NodeGoal } from "../goal.ts";
import {
  known,
  planFile,
  planRestore,
  type DesiredFile,
  type RestoreFileAction,
  type SeenFile,
  type WriteFileAction,
} from "../managed-file.ts";
import { manifestEntry, type Manifest } from "../manifest.ts";
import type { Step } from "../step.ts";

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
  | WriteFileAction
  | RestoreFileAction
  | { readonly op: "reserve"; readonly value: string }
  /** puts the value back and forgets what it was */
  | { readonly op: "release"; readonly value: string }
  | { readonly op: "forward"; readonly interface: typeof INTERFACE | typeof BRIDGE };

/** Kernel settings. Ports that others have reserved stay reserved, now and after teardown. */
export function planSysctl(
  goal: NodeGoal,
  observed: SysctlObserved,
  manifest: Manifest,
): readonly Step<SysctlAction>[] {
  if (goal.phase === "prepare") return [];
  if (goal.phase === "teardown") return planTeardown(observed, manifest);
  const live = liveRanges(observed);
  const file = planFile(SYSCTL_KIND, sysctlFile(observed), observed.file);
  const steps: Step<SysctlAction>[] = file === undefined ? [] : [file];
  const value = wanted(live);
  if (value !== formatPortRanges(live)) {
    const summary = `reserve the ports ${formatPortRanges(KEPT_PORTS)}`;
    steps.push({
      kind: SYSCTL_KIND,
      target: RESERVED_PORTS,
      verb: "change",
      summary,
      action: { op: "reserve", value },
    });
  }
  for (const name of [INTERFACE, BRIDGE] as const) {
    if (known(observed.forwarding[name], `forwarding of ${name}`) !== false) continue;
    const summary = `forward what comes in by ${name}`;
    steps.push({
      kind: SYSCTL_KIND,
      target: `net.ipv4.conf.${name}.forwarding`,
      verb: "change",
      summary,
      action: { op: "forward", interface: name },
    });
  }
  return steps;
}

/** 60-jiji.conf as it should be, with what others have reserved by now. */
export function sysctlFile(observed: SysctlObserved): DesiredFile {
  return { path: PATHS.sysctl, content: renderSysctl(wanted(liveRanges(observed))), mode: 0o644 };
}

function wanted(live: readonly PortRange[]): string {
  return formatPortRanges(unitePortRanges(live, KEPT_PORTS));
}

function liveRanges({ reserved }: SysctlObserved): readonly PortRange[] {
  const ranges = parsePortRanges(known(reserved, RESERVED_PORTS) ?? "");
  if (ranges === undefined) throw new Error(`${RESERVED_PORTS} has a form that is not known`);
  return ranges;
}

function planTeardown(observed: SysctlObserved, manifest: Manifest): readonly Step<SysctlAction>[] {
  const steps: Step<SysctlAction>[] = [];
  const file = manifestEntry(manifest, SYSCTL_KIND, PATHS.sysctl);
  if (file !== undefined) steps.push(planRestore(SYSCTL_KIND, file));
  const entry = manifestEntry(manifest, SYSCTL_KIND, RESERVED_PORTS);
  if (entry === undefined) return steps;
  const before = parsePortRanges(typeof entry.before === "string" ? entry.before : "") ?? [];
  const added = subtractPortRanges(KEPT_PORTS, before);
  const value = formatPortRanges(subtractPortRanges(liveRanges(observed), added));
  const summary = `release the ports ${formatPortRanges(added)}`;
  steps.push({ kind: SYSCTL_KIND, target: RESERVED_PORTS, verb: "restore", summary, action: { op: "release", value } });
  return steps;
}
