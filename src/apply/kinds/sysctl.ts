import { PATHS } from "../../model/paths.ts";
import { BRIDGE, INTERFACE } from "../../model/ports.ts";
import { mapReading, type Reading } from "../../model/reading.ts";
import type { Step } from "../../plan/step.ts";
import {
  planSysctl,
  RESERVED_PORTS,
  SYSCTL_KIND,
  type SysctlAction,
  type SysctlObserved,
} from "../../plan/kinds/sysctl.ts";
import type { Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { seeFile } from "../managed-file.ts";
import { runChecked } from "../programs.ts";

const RESERVED_PATH = "/proc/sys/net/ipv4/ip_local_reserved_ports";

function forwardingPath(name: typeof INTERFACE | typeof BRIDGE): string {
  return `/proc/sys/net/ipv4/conf/${name}/forwarding`;
}

/** Reserved ports, and forwarding for the tunnel and the bridge alone. */
export const sysctlKind: ResourceKind<SysctlObserved, SysctlAction> = {
  kind: SYSCTL_KIND,
  observe,
  plan: planSysctl,
  execute,
};

async function observe(host: Host): Promise<SysctlObserved> {
  return {
    file: await seeFile(host.files, PATHS.sysctl),
    reserved: await host.files.read(RESERVED_PATH),
    forwarding: { [INTERFACE]: await forwarding(host, INTERFACE), [BRIDGE]: await forwarding(host, BRIDGE) },
  };
}

async function forwarding(host: Host, name: typeof INTERFACE | typeof BRIDGE): Promise<Reading<boolean>> {
  return mapReading(await host.files.read(forwardingPath(name)), (text) => text.trim() !== "0");
}

async function execute({ action }: Step<SysctlAction>, context: ApplyContext): Promise<void> {
  const { host } = context;
  switch (action.op) {
    case "reserve":
      await context.remember(RESERVED_PORTS, action.before);
      return setKernelValue(host, RESERVED_PATH, action.value);
    case "release":
      await setKernelValue(host, RESERVED_PATH, action.value);
      return context.forget(RESERVED_PORTS);
    case "forward":
      return setKernelValue(host, forwardingPath(action.interface), "1");
  }
}

/** Files under /proc cannot be replaced by rename, so a program of the base system writes into them. */
async function setKernelValue(host: Host, path: string, value: string): Promise<void> {
  await runChecked(host, ["tee", path], { input: `${value}\n` });
}
