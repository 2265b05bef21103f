import { parseNumericAddress } from "../model/address.ts";
import type { Brand } from "../model/brand.ts";

/** A host name, address or alias of the operator's ssh configuration: fixed alphabet, never begins with `-`. */
export type SshHost = Brand<string, "SshHost">;

/** A login name: fixed alphabet, never begins with `-`. */
export type SshUser = Brand<string, "SshUser">;

/** `[user@]host[:port]`, one hop or several with commas between, as ssh's ProxyJump takes them. */
export type ProxyJump = Brand<string, "ProxyJump">;

export const SSH_HOST = /^[A-Za-z0-9_][A-Za-z0-9._:-]{0,252}$/;
export const SSH_USER = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;

/** Reads a host as it may stand after `ssh --`: colons only in an IPv6 address, a port belongs elsewhere. */
export function parseSshHost(text: string): SshHost | undefined {
  if (!SSH_HOST.test(text)) return undefined;
  return text.includes(":") && parseNumericAddress(text) === undefined ? undefined : (text as SshHost);
}

export function parseSshUser(text: string): SshUser | undefined {
  return SSH_USER.test(text) ? (text as SshUser) : undefined;
}

/** Reads a chain of hops; each part is held to the alphabet of hosts and users. */
export function parseProxyJump(text: string): ProxyJump | undefined {
  const hops = text.split(",").map((hop) => hop.trim());
  return hops.every(isHop) ? (hops.join(",") as ProxyJump) : undefined;
}

function isHop(hop: string): boolean {
  const match = /^(?:([^@]+)@)?(\[[0-9A-Fa-f:.]+\]|[^:@]+)(?::([0-9]{1,5}))?$/.exec(hop);
  if (match === null) return false;
  const [, user, host = "", port] = match;
  const hostFits = host.startsWith("[") ? /^\[[0-9A-Fa-f:.]+\]$/.test(host) : SSH_HOST.test(host);
  const portFits = port === undefined || (Number(port) >= 1 && Number(port) <= 65535);
  return hostFits && portFits && (user === undefined || SSH_USER.test(user));
}
