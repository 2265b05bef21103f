import type { Sha256 } from "./keys.ts";

/** Every path on a server that jiji writes to. They are literal, so that a reader can search for one. */
export const PATHS = {
  executable: "/opt/jiji/bin/jiji",
  dnsExecutable: "/opt/jiji/dns/jiji-dns",
  corrosionExecutable: "/opt/jiji/corrosion/corrosion",
  /** uploads wait here, in a folder per SHA-256, until apply renames them; root only */
  staging: "/opt/jiji/staging",
  identity: "/opt/jiji/identity.json",
  spec: "/opt/jiji/spec.json",
  members: "/opt/jiji/members.json",
  /** held for the time of one change of members.json; beside it, since the agent can write only there */
  membersLock: "/opt/jiji/members.lock",
  manifest: "/opt/jiji/manifest.json",
  wireguardConfig: "/etc/wireguard/jiji0.conf",
  wireguardKey: "/etc/wireguard/jiji0.key",
  corrosionFolder: "/opt/jiji/corrosion",
  corrosionConfig: "/opt/jiji/corrosion/config.toml",
  corrosionDatabase: "/opt/jiji/corrosion/state.db",
  corrosionSchemaFolder: "/opt/jiji/corrosion/schema",
  corrosionSchema: "/opt/jiji/corrosion/schema/jiji.sql",
  corrosionToken: "/opt/jiji/corrosion/token",
  corrosionAdminSocket: "/run/jiji/corrosion/admin.sock",
  agentSettings: "/opt/jiji/agent/settings.json",
  dnsSettings: "/opt/jiji/dns/settings.json",
  dnsState: "/var/lib/jiji-dns/table.json",
  dnsControlSocket: "/run/jiji/dns/control.sock",
  agentSocket: "/run/jiji/agent/agent.sock",
  /** where root asks the agent, see agent-control.ts */
  agentControlSocket: "/run/jiji/agent/control.sock",
  storeRelaySocket: "/run/jiji/agent/store.sock",
  run: "/run/jiji",
  lock: "/run/jiji/lock",
  /** held for the time of one apply, so that setup and repair do not meet on one server */
  applyLock: "/run/jiji/apply.lock",
  /** one file per unit that must be restarted because a file that it reads is changing or has changed */
  pendingRestarts: "/run/jiji/restart",
  embeddedStoreFolder: "/var/lib/jiji-store",
  embeddedStoreDatabase: "/var/lib/jiji-store/state.db",
  embeddedStoreToken: "/opt/jiji/store.token",
  firewallFolder: "/opt/jiji/firewall",
  firewall: "/opt/jiji/firewall/rules.nft",
  firewallFrames: "/opt/jiji/firewall/frames.nft",
  /** accepting rules for iptables and ip6tables, only where rules of others may drop packets */
  firewallChains4: "/opt/jiji/firewall/rules.v4",
  firewallChains6: "/opt/jiji/firewall/rules.v6",
  sysctl: "/etc/sysctl.d/60-jiji.conf",
  sysusers: "/etc/sysusers.d/jiji.conf",
  tmpfiles: "/etc/tmpfiles.d/jiji.conf",
  dockerDaemon: "/etc/docker/daemon.json",
  containersConf: "/etc/containers/containers.conf",
} as const;

/** The search path of every program that jiji starts on a server, whatever the path of who starts jiji. */
export const PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Where an upload with this content waits until apply renames it into place. It got this name only after its hash was
 * checked, in a folder that only root can enter, so a file at this path has the content that the hash names.
 */
export function stagedFile(sha256: Sha256): string {
  return `${PATHS.staging}/${sha256}/file`;
}
