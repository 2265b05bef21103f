import { BRIDGE, INTERFACE } from "../model/ports.ts";

/**
 * /etc/sysctl.d/60-jiji.conf. Forwarding is switched on for the tunnel and the bridge only; a line that begins with `-`
 * may fail, for the interface may not be there yet (udev applies it when it comes). `reserved` is the whole list of
 * ports that no outgoing connection may be given, others' included, as the kernel prints it: `8080,31280-31282`.
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
