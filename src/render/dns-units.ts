import { endpointOf, type Ipv4 } from "../model/address.ts";
import { PATHS } from "../model/paths.ts";
import { PORTS } from "../model/ports.ts";
import { cleanStart, COMMON_SANDBOX, renderUnitFile } from "./unit-file.ts";

/**
 * jiji-dns.socket: holds port 53 on the server's own address, whether that address is there yet or not, so that boot
 * order does not matter, a restart of the service loses no question, and the service needs no capability.
 */
export function renderDnsSocket(address: Ipv4): string {
  const listen = endpointOf(address, PORTS.dns) ?? "";
  return renderUnitFile("Port 53 on this server's own address in the mesh.", {
    Unit: [
      ["Description", "jiji: port 53 for the names of services"],
      ["Before", "docker.service podman.service"],
    ],
    Socket: [
      ["ListenDatagram", listen],
      ["ListenStream", listen],
      ["FreeBind", "yes"],
      ["ReceiveBuffer", "4M"],
      ["SendBuffer", "4M"],
      ["Backlog", "1024"],
      // a service that ends again and again must not take its socket with it
      ["TriggerLimitIntervalSec", "0"],
    ],
    Install: [["WantedBy", "sockets.target"]],
  });
}

/** jiji-dns.service: runs as a user without capabilities, whose group may use the agent's sockets. */
export function renderDnsUnit(): string {
  return renderUnitFile("Answers the names of services.", {
    Unit: [
      ["Description", "jiji: names of services"],
      ["After", "network.target jiji-dns.socket"],
      ["StartLimitIntervalSec", "0"],
    ],
    Service: [
      // it is ready as soon as it listens, with or without the store
      ["Type", "notify"],
      ["NotifyAccess", "main"],
      ["Sockets", "jiji-dns.socket"],
      ["User", "jiji-dns"],
      ["Group", "jiji-dns"],
      ["SupplementaryGroups", "jiji"],
      ["SyslogIdentifier", "jiji-dns"],
      ["UMask", "0027"],
      [
        "ExecStart",
        cleanStart(
          ["LISTEN_PID=${LISTEN_PID}", "LISTEN_FDS=${LISTEN_FDS}", "NOTIFY_SOCKET=${NOTIFY_SOCKET}"],
          [PATHS.dnsExecutable, "dns", "serve", "--settings", PATHS.dnsSettings],
        ),
      ],
      ["ExecReload", "/bin/kill -HUP $MAINPID"],
      ["Restart", "always"],
      ["RestartSec", "1s"],
      ["LimitNOFILE", "65536"],
      // beside containers that use all processors (weight of each: 100), and among its own threads for those that read
      // packets: the others come down to the usual priority themselves (src/system/thread-priority.ts)
      ["CPUWeight", "1000"],
      ["Nice", "-12"],
      ["StateDirectory", "jiji-dns"],
      ["StateDirectoryMode", "0750"],
      ["RuntimeDirectory", "jiji/dns"],
      ["RuntimeDirectoryMode", "0750"],
      ...COMMON_SANDBOX,
      ["CapabilityBoundingSet", ""],
      ["DevicePolicy", "closed"],
      ["PrivateUsers", "yes"],
      ["ProtectProc", "invisible"],
      ["ProcSubset", "pid"],
      ["RemoveIPC", "yes"],
      ["RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"],
      ["SystemCallFilter", "@system-service"],
      ["SystemCallFilter", "~@privileged @resources"],
      ["SystemCallFilter", "setpriority"],
      ["SystemCallErrorNumber", "EPERM"],
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}
