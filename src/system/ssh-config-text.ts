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
 * Set on every connection and every hop, whatever the included configuration says. A server gets no way back to the
 * operator's machine (agent, X11, forwarded ports, local commands), unknown host keys are refused, and ssh never prompts.
 * jiji sends programs that run as root, so no server is trusted without a known key.
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
 * The ssh_config that jiji gives to ssh with -F. ssh connects to the hops of a ProxyJump with the same file but without the
 * command line's options, so only options in this file reach every hop. The first value of an option counts, so jiji's
 * options come before the included files.
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

/** ssh_config has no escapes inside quotes, so a path cannot contain a quote, a backslash or a control character. */
function quoted(path: string): string {
  if (/["\\\p{Cc}]/u.test(path)) throw new RangeError(`a path that ssh_config cannot hold: ${JSON.stringify(path)}`);
  return `"${path}"`;
}
