import type { Brand } from "./brand.ts";

/**
 * An IPv4 address in its one canonical form, dotted decimal without leading zeros. Two addresses are equal exactly when
 * their texts are.
 */
export type Ipv4 = Brand<string, "Ipv4">;

/** A numeric address and UDP port as WireGuard prints it: `192.0.2.7:31820` or `[2001:db8::7]:31820`. */
export type Endpoint = Brand<string, "Endpoint">;

const OCTET = /^(0|[1-9][0-9]{0,2})$/;

/** Reads dotted decimal, exactly four octets of 0 to 255 without leading zeros; anything else gives undefined. */
export function parseIpv4(text: string): Ipv4 | undefined {
  const octets = text.split(".");
  if (octets.length !== 4 || !octets.every((octet) => OCTET.test(octet) && Number(octet) <= 255)) return undefined;
  return text as Ipv4;
}

/** The address as an unsigned 32-bit number, network byte order (192.0.2.7 → 0xC0000207). */
export function ipv4ToNumber(address: Ipv4): number {
  let value = 0;
  for (const octet of address.split(".")) value = value * 256 + Number(octet);
  return value;
}

/** The inverse of {@link ipv4ToNumber}. Throws a RangeError outside 0 to 2^32-1. */
export function ipv4FromNumber(value: number): Ipv4 {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw new RangeError(`not an IPv4 number: ${value}`);
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}` as Ipv4;
}

/** The eight 16-bit groups of an IPv6 address (RFC 4291 §2.2, IPv4 tail allowed; no zone), or undefined. */
function parseIpv6Groups(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const parsed = halves.map((half, index) => parseGroups(half, index === halves.length - 1));
  const [head, tail] = parsed;
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 8 ? head : undefined;
  if (tail === undefined || head.length + tail.length > 7) return undefined;
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else if (mayEndInIpv4 && index === parts.length - 1) {
      const tail = parseIpv4(part);
      if (tail === undefined) return undefined;
      const value = ipv4ToNumber(tail);
      groups.push(value >>> 16, value & 0xffff);
    } else {
      return undefined;
    }
  }
  return groups;
}

/** RFC 5952: lower case, no leading zeros, the longest run of zero groups (of two or more, leftmost) as `::`. */
function formatIpv6(groups: readonly number[]): string {
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.start < 0) return hex.join(":");
  return `${hex.slice(0, best.start).join(":")}::${hex.slice(best.start + best.length).join(":")}`;
}

/** Reads a numeric IPv4 or IPv6 address and prints its canonical form (RFC 5952); undefined for anything else. */
export function parseNumericAddress(text: string): string | undefined {
  const v4 = parseIpv4(text);
  if (v4 !== undefined) return v4;
  const groups = text.includes(":") ? parseIpv6Groups(text) : undefined;
  return groups === undefined ? undefined : formatIpv6(groups);
}

/** Puts a numeric address and a port (1 to 65535) together; undefined when either is not one. */
export function endpointOf(address: string, port: number): Endpoint | undefined {
  const numeric = parseNumericAddress(address);
  if (numeric === undefined || !Number.isInteger(port) || port < 1 || port > 65535) return undefined;
  return (numeric.includes(":") ? `[${numeric}]:${port}` : `${numeric}:${port}`) as Endpoint;
}

/** Splits `host:port` or `[v6]:port` without checking the host; undefined when there is no port. */
export function splitHostPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  return port >= 1 && port <= 65535 ? { host: match[1] ?? match[2] ?? "", port } : undefined;
}

/** Reads `192.0.2.7:31820` or `[2001:db8::7]:31820` and prints it canonically; undefined for anything else. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const parts = splitHostPort(text);
  return parts === undefined ? undefined : endpointOf(parts.host, parts.port);
}
