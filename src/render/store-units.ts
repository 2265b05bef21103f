import { endpointOf, type Ipv4 } from "../model/address.ts";
import { PATHS } from "../model/paths.ts";
import { PORTS } from "../model/ports.ts";
import { UNITS } from "../model/units.ts";
import { cleanStart, COMMON_SANDBOX, renderUnitFile, type UnitLines } from "./unit-file.ts";

/**
 * jiji-corrosion.service. Corrosion ends when its gossip address is missing or its disk is full. So it starts after the
 * tunnel, and systemd starts it again for ever. No other unit waits for it.
 */
export function renderCorrosionUnit(): string {
  const argv = [PATHS.corrosionExecutable, "--config", PATHS.corrosionConfig, "agent"];
  const waits = { RestartSec: "5", TimeoutStartSec: "60", TimeoutStopSec: "30" };
  const folder = { RuntimeDirectory: "jiji/corrosion", RuntimeDirectoryMode: "0750" };
  return renderUnitFile("The replicated records of servers and containers.", {
    Unit: unitLines("Corrosion"),
    Service: [
      ...serviceLines("jiji-corrosion", argv, { ...waits, LimitNOFILE: "65536", ...folder }),
      ...sandboxLines(PATHS.corrosionFolder, { MemoryDenyWriteExecute: "yes" }),
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}

/** jiji-store.service: the embedded store on the member that holds it for the mesh. */
export function renderStoreUnit(address: Ipv4): string {
  const listen = endpointOf(address, PORTS.embeddedStore) ?? "";
  const files = ["--db", PATHS.embeddedStoreDatabase, "--token-file", PATHS.embeddedStoreToken];
  const argv = [PATHS.executable, "store", "serve", "--listen", listen, ...files];
  return renderUnitFile("The records of servers and containers, on the one member that holds them.", {
    Unit: unitLines("embedded store"),
    Service: [
      ...serviceLines("jiji-store", argv, { RestartSec: "2", LimitNOFILE: "65536" }),
      ...sandboxLines(PATHS.embeddedStoreFolder, {}),
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}

function unitLines(kind: string): UnitLines {
  return [
    ["Description", `jiji: records of servers and containers (${kind})`],
    ["After", `network.target ${UNITS.tunnel}`],
    ["StartLimitIntervalSec", "0"],
  ];
}

function serviceLines(name: string, argv: readonly string[], more: Readonly<Record<string, string>>): UnitLines {
  return [
    // Not `notify`: some builds of Corrosion do not report that they are ready; setup asks the store itself.
    ["Type", "exec"],
    ["User", "jiji-corrosion"],
    ["Group", "jiji-corrosion"],
    ["SyslogIdentifier", name],
    ["UMask", "0027"],
    ["ExecStart", cleanStart([], argv)],
    ["Restart", "always"],
    ...Object.entries(more),
  ];
}

function sandboxLines(folder: string, more: Readonly<Record<string, string>>): UnitLines {
  return [
    ...COMMON_SANDBOX,
    ["ReadWritePaths", folder],
    ["CapabilityBoundingSet", ""],
    ...Object.entries(more),
    ["PrivateUsers", "yes"],
    ["ProtectProc", "invisible"],
    ["RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"],
    ["SystemCallFilter", "@system-service"],
    ["SystemCallErrorNumber", "EPERM"],
  ];
}
