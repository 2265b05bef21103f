import { PATHS } from "../model/paths.ts";
import { BRIDGE, INTERFACE } from "../model/ports.ts";

const HEAD = "# Written by jiji; the next setup replaces it.\n";

/** /etc/sysusers.d/jiji.conf, sysusers.d(5): one user per service, and the group that may use the agent's sockets. */
export function renderSysusers(): string {
  return `${HEAD}u jiji-corrosion - "jiji records" - -\nu jiji-dns - "jiji names" - -\ng jiji - - - -\n`;
}

/** /etc/tmpfiles.d/jiji.conf, tmpfiles.d(5). */
export function renderTmpfiles(): string {
  return `${HEAD}d ${PATHS.run} 0755 root root -\n`;
}

/**
 * /etc/sysctl.d/60-jiji.conf. Forwarding is enabled for the tunnel and the bridge only. A line that begins with `-` may
 * fail, since the interface may not exist yet; udev applies the line when it appears. `reserved` is the whole list of ports
 * that no outgoing connection may use, those of others included, as the kernel prints it: `8080,31280-31282`.
 */
export function renderSysctl(reserved: string): string {
  return [
    "# Written by jiji; changes are lost.",
    `net.ipv4.ip_local_reserved_ports = ${reserved}`,
    `-net.ipv4.conf.${INTERFACE}.forwarding = 1`,
    `-net.ipv4.conf.${BRIDGE}.forwarding = 1`,
    "",
  ].join("\n");
}
