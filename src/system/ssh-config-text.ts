/** How ssh is told to behave, apart from the target. Paths are absolute. */
export interface SshSettings {
  readonly privateKeys: readonly string[];
  readonly keysOnly: boolean;
  /** ProxyJump's value */
  readonly proxy: string | undefined;
  readonly proxyCommand: string | undefined;
  /** which OpenSSH configuration applies underneath */
  readonly config: "own" | "none" | readonly string[];
  readonly timeoutMs: number;
}

/**
 * Set on every connection and every hop, whatever the configuration underneath says: a server gets no way back to the
 * operator's machine (agent, X11, forwarded ports, local commands), a host key that is not known is refused, and nothing ever
 * waits for a person at a prompt. jiji sends programs that run as root, so a server is never taken on trust.
 */
export const FORCED_OPTIONS: readonly (readonly [string, string])[] = [
  ["ForwardAgent", "no"],
  ["ForwardX11", "no"],
  ["ClearAllForwardings", "yes"],
  ["PermitLocalCommand", "no"],
  ["Tunnel", "no"],
  ["StrictHostKeyChecking", "yes"],
  ["BatchMode", "yes"],
  ["LogLevel", "ERROR"],
  ["RequestTTY", "no"],
  ["RemoteCommand", "none"],
];

/**
 * The ssh_config that jiji hands to ssh with -F. ssh starts a ProxyJump's hops with the same file and none of the command
 * line's options, so this is the only place where options reach every hop. The first value of an option counts: ours
 * stand before the included files.
 */
export function renderSshConfig(settings: SshSettings): string {
  const included =
    settings.config === "own"
      ? ["~/.ssh/config", "/etc/ssh/ssh_config"]
      : settings.config === "none"
        ? []
        : settings.config;
  return [
    "# Made by jiji for this run.",
    ...FORCED_OPTIONS.filter(([name]) => name !== "RemoteCommand" && name !== "RequestTTY").map(
      ([name, value]) => `${name} ${value}`,
    ),
    `ConnectTimeout ${Math.max(1, Math.ceil(settings.timeoutMs / 1000))}`,
    "ServerAliveInterval 15",
    "ServerAliveCountMax 3",
    ...settings.privateKeys.map((path) => `IdentityFile ${quoted(path).replaceAll("%", "%%")}`),
    ...(settings.keysOnly ? ["IdentitiesOnly yes"] : []),
    ...included.map((path) => `Include ${quoted(path)}`),
    "",
  ].join("\n");
}

/** ssh_config has no escapes inside quotes; a path with a quote, a backslash or a control character cannot be written. */
function quoted(path: string): string {
  if (/["\\\p{Cc}]/u.test(path)) throw new RangeError(`a path that ssh_config cannot hold: ${JSON.stringify(path)}`);
  return `"${path}"`;
}
