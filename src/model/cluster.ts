import { z } from "zod";
import { ipv4FromNumber, ipv4ToNumber, parseIpv4, type Ipv4 } from "./address.ts";
import type { Brand } from "./brand.ts";

/** An IPv4 network `a.b.c.d/len` whose host bits are zero. Canonical text, so equal networks are equal texts. */
export type Cidr = Brand<string, "Cidr">;

/** The cluster's network: a {@link Cidr} with a prefix of /8 to /24, cut into one /24 per server. */
export type ClusterCidr = Cidr & Brand<string, "ClusterCidr">;

/** The cluster when deploy.yml names none. */
export const DEFAULT_CLUSTER = "10.210.0.0/16" as ClusterCidr;

/** The number N of a server's /24 within the cluster: 0 to {@link capacity} - 1. */
export type SubnetNumber = Brand<number, "SubnetNumber">;

/** At most this many servers, whatever the prefix. */
export const MAX_SERVERS = 255;

/** A number within the largest cluster; {@link parseSubnetNumber} checks it against a particular one. */
export const subnetNumberSchema = z
  .int()
  .min(0)
  .max(MAX_SERVERS - 1)
  .transform((n) => n as SubnetNumber);

/** Reads `a.b.c.d/len` with all host bits zero; undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const [addressText, prefixText, ...rest] = text.split("/");
  if (addressText === undefined || prefixText === undefined || rest.length > 0) return undefined;
  const address = parseIpv4(addressText);
  if (address === undefined || !/^(0|[1-9][0-9]?)$/.test(prefixText) || Number(prefixText) > 32) return undefined;
  return hostBits(ipv4ToNumber(address), Number(prefixText)) === 0 ? (text as Cidr) : undefined;
}

function hostBits(value: number, prefix: number): number {
  return value % 2 ** (32 - prefix);
}

/** The network's first address and its prefix length in bits. */
export function cidrParts(cidr: Cidr): { readonly first: number; readonly prefix: number } {
  const [address, prefix] = cidr.split("/") as [Ipv4, string];
  return { first: ipv4ToNumber(address), prefix: Number(prefix) };
}

/** Reads a cluster network, prefix /8 to /24, host bits zero; undefined for anything else. */
export function parseClusterCidr(text: string): ClusterCidr | undefined {
  const cidr = parseCidr(text);
  if (cidr === undefined) return undefined;
  const { prefix } = cidrParts(cidr);
  return prefix >= 8 && prefix <= 24 ? (cidr as ClusterCidr) : undefined;
}

/** How many servers the cluster's network holds: min(2^(24-prefix), 255). */
export function capacity(cluster: ClusterCidr): number {
  return Math.min(2 ** (24 - cidrParts(cluster).prefix), MAX_SERVERS);
}

/** Checks a subnet number against the cluster's capacity; undefined when it does not fit. */
export function parseSubnetNumber(cluster: ClusterCidr, value: number): SubnetNumber | undefined {
  return Number.isInteger(value) && value >= 0 && value < capacity(cluster) ? (value as SubnetNumber) : undefined;
}

/** The server's /24, e.g. 10.210.3.0/24 for number 3. */
export function subnetOf(cluster: ClusterCidr, subnet: SubnetNumber): Cidr {
  return `${ipv4FromNumber(cidrParts(cluster).first + subnet * 256)}/24` as Cidr;
}

/** The server's own address, .1 of its /24: on jiji0 and the gateway of its containers. */
export function serverAddress(cluster: ClusterCidr, subnet: SubnetNumber): Ipv4 {
  return ipv4FromNumber(cidrParts(cluster).first + subnet * 256 + 1);
}

/** Whether the address lies in the network. */
export function cidrContains(cidr: Cidr, address: Ipv4): boolean {
  const { first, prefix } = cidrParts(cidr);
  const value = ipv4ToNumber(address);
  return value >= first && value < first + 2 ** (32 - prefix);
}

/** Whether two networks share an address. */
export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  const x = cidrParts(a);
  const y = cidrParts(b);
  return x.first < y.first + 2 ** (32 - y.prefix) && y.first < x.first + 2 ** (32 - x.prefix);
}

/** Whether the address is one that a container of that server can have: .2 to .254 of its /24. */
export function isContainerAddress(cluster: ClusterCidr, subnet: SubnetNumber, address: Ipv4): boolean {
  const offset = ipv4ToNumber(address) - (cidrParts(cluster).first + subnet * 256);
  return offset >= 2 && offset <= 254;
}

/** The lowest free number, or undefined when the cluster is full. `taken` includes reserved numbers. */
export function lowestFreeSubnet(cluster: ClusterCidr, taken: ReadonlySet<number>): SubnetNumber | undefined {
  for (let n = 0; n < capacity(cluster); n++) if (!taken.has(n)) return n as SubnetNumber;
  return undefined;
}
