/** systemd units of jiji on a server. */
export const UNITS = {
  /** oneshot, loads packet filter and guarding routes at boot */
  firewall: "jiji-firewall.service",
  /** in place of the distribution's instance of wg-quick@.service */
  tunnel: "wg-quick@jiji0.service",
  corrosion: "jiji-corrosion.service",
  store: "jiji-store.service",
  agent: "jiji-agent.service",
  dnsSocket: "jiji-dns.socket",
  dns: "jiji-dns.service",
  /** oneshot, started by hand: makes the server as spec.json says */
  repair: "jiji-repair.service",
} as const;

/** Where jiji's unit files stand. */
export const UNIT_FOLDER = "/etc/systemd/system";

/** The file of one of jiji's units. */
export function unitFile(unit: string): string {
  return `${UNIT_FOLDER}/${unit}`;
}
