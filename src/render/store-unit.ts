import { endpointOf, type Ipv4 } from "../model/address.ts";
import { PATHS } from "../model/paths.ts";
import { UNITS } from "../model/units.ts";
import { PORTS } from "../model/ports.ts";
import { cleanStart, COMMON_SANDBOX, renderUnitFile } from "./unit-file.ts";

/** jiji-store.service: the embedded store on the member that holds it for the mesh. */
export function renderStoreUnit(address: Ipv4): string {
  const listen = endpointOf(address, PORTS.embeddedStore) ?? "";
  return renderUnitFile("The records of servers and containers, on the one member that holds them.", {
    Unit: [
      ["Description", "jiji: records of servers and containers (embedded store)"],
      ["After", `network.target ${UNITS.tunnel}`],
      ["StartLimitIntervalSec", "0"],
    ],
    Service: [
      ["Type", "exec"],
      ["User", "jiji-corrosion"],
      ["Group", "jiji-corrosion"],
      ["SyslogIdentifier", "jiji-store"],
      ["UMask", "0027"],
      [
        "ExecStart",
        cleanStart(
          [],
          [PATHS.executable, "store", "serve", "--listen", listen, "--db", PATHS.embeddedStoreDatabase].concat(
            "--token-file",
            PATHS.embeddedStoreToken,
          ),
        ),
      ],
      ["Restart", "always"],
      ["RestartSec", "2"],
      ["LimitNOFILE", "65536"],
      ...COMMON_SANDBOX,
      ["ReadWritePaths", PATHS.embeddedStoreFolder],
      ["CapabilityBoundingSet", ""],
      ["PrivateUsers", "yes"],
      ["ProtectProc", "invisible"],
      ["RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"],
      ["SystemCallFilter", "@system-service"],
      ["SystemCallErrorNumber", "EPERM"],
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}
