import { dirname } from "node:path";
import { PATHS } from "../model/paths.ts";
import { UNITS } from "../model/units.ts";
import { cleanStart, COMMON_SANDBOX, renderUnitFile } from "./unit-file.ts";

const HOME = dirname(PATHS.members);

/** Paths in jiji's own folder that the agent may not change. */
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
 * jiji-agent.service. It runs as root, since it reads the server's identity and talks to the engine. It has one capability,
 * which peers and routes need, and may write nothing but members.json and its own sockets. At boot it starts right after
 * the tunnel (tunnel-unit.ts says why) and then waits for the engine and the store.
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
      // a server with busy processors must still answer probes in time, or the others take it for dead
      ["CPUWeight", "1000"],
      ["Nice", "-11"],
      ["RuntimeDirectory", "jiji/agent"],
      ["RuntimeDirectoryMode", "0750"],
      // it holds what must survive a stop but not a boot: whether the rows were compared, who was unreachable
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
