import { dirname } from "node:path";
import { PATHS } from "../model/paths.ts";
import { UNITS } from "../model/units.ts";
import { cleanStart, COMMON_SANDBOX, renderUnitFile } from "./unit-file.ts";

const HOME = dirname(PATHS.members);

/** What stands in jiji's own folder and is not the agent's to change. */
const NOT_ITS_OWN = [
  dirname(PATHS.executable),
  dirname(PATHS.dnsExecutable),
  dirname(PATHS.agentSettings),
  PATHS.corrosionFolder,
  `-${dirname(PATHS.firewall)}`,
  `-${PATHS.staging}`,
  PATHS.identity,
  PATHS.spec,
  PATHS.manifest,
];

/**
 * jiji-agent.service. Root, since it reads the server's identity and talks to the engine, but with the one capability
 * that peers and routes need and without the right to write anything but members.json and its own sockets. It starts
 * right after the tunnel at boot (render/tunnel-unit.ts says why) and waits inside for the engine and the store.
 */
export function renderAgentUnit(): string {
  return renderUnitFile("Publishes this server's containers and keeps its peers.", {
    Unit: [
      ["Description", "jiji: publishes this server's containers and keeps its peers"],
      ["After", `network.target ${UNITS.tunnel}`],
      ["StartLimitIntervalSec", "0"],
    ],
    Service: [
      ["Type", "exec"],
      ["Group", "jiji"],
      ["SupplementaryGroups", "root jiji-corrosion"],
      ["SyslogIdentifier", "jiji-agent"],
      ["UMask", "0027"],
      ["ExecStart", cleanStart([], [PATHS.executable, "agent", "run", "--settings", PATHS.agentSettings])],
      ["Restart", "always"],
      ["RestartSec", "1"],
      ["LimitNOFILE", "65536"],
      // a server whose processors are busy must still answer probes in time, or the others take it for dead
      ["CPUWeight", "1000"],
      ["Nice", "-11"],
      ["RuntimeDirectory", "jiji/agent"],
      ["RuntimeDirectoryMode", "0750"],
      // what must outlast a stop, but not a boot, stands there: whether the rows were compared, who was unreachable
      ["RuntimeDirectoryPreserve", "yes"],
      ...COMMON_SANDBOX,
      ["ReadWritePaths", HOME],
      ["ReadOnlyPaths", NOT_ITS_OWN.join(" ")],
      ["CapabilityBoundingSet", "CAP_NET_ADMIN"],
      ["RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"],
      ["SystemCallFilter", "@system-service"],
      ["SystemCallErrorNumber", "EPERM"],
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}
