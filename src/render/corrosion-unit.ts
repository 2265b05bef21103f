import { PATHS } from "../model/paths.ts";
import { UNITS } from "../model/units.ts";
import { cleanStart, COMMON_SANDBOX, renderUnitFile } from "./unit-file.ts";

/**
 * jiji-corrosion.service. Corrosion ends when its gossip address is missing or its disk is full. So it starts after the
 * tunnel, and systemd starts it again for ever. No other unit waits for it.
 */
export function renderCorrosionUnit(): string {
  return renderUnitFile("The replicated records of servers and containers.", {
    Unit: [
      ["Description", "jiji: records of servers and containers (Corrosion)"],
      ["After", `network.target ${UNITS.tunnel}`],
      ["StartLimitIntervalSec", "0"],
    ],
    Service: [
      // Not `notify`: some builds in use do not report that they are ready; setup asks the store itself.
      ["Type", "exec"],
      ["User", "jiji-corrosion"],
      ["Group", "jiji-corrosion"],
      ["SyslogIdentifier", "jiji-corrosion"],
      ["UMask", "0027"],
      ["ExecStart", cleanStart([], [PATHS.corrosionExecutable, "--config", PATHS.corrosionConfig, "agent"])],
      ["Restart", "always"],
      ["RestartSec", "5"],
      ["TimeoutStartSec", "60"],
      ["TimeoutStopSec", "30"],
      ["LimitNOFILE", "65536"],
      ["RuntimeDirectory", "jiji/corrosion"],
      ["RuntimeDirectoryMode", "0750"],
      ...COMMON_SANDBOX,
      ["ReadWritePaths", PATHS.corrosionFolder],
      ["CapabilityBoundingSet", ""],
      ["MemoryDenyWriteExecute", "yes"],
      ["PrivateUsers", "yes"],
      ["ProtectProc", "invisible"],
      ["RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"],
      ["SystemCallFilter", "@system-service"],
      ["SystemCallErrorNumber", "EPERM"],
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}
