import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../model/address.ts";

/** Says what is wrong with a `cluster_cidr` that parseClusterCidr does not take, and what it might have been. */
export function describeCidrMistake(text: string): string {
  const match = /^([^/]+)\/([0-9]{1,3})$/.exec(text.trim());
  const address = match?.[1] === undefined ? undefined : parseIpv4(match[1]);
  if (match === null || address === undefined) {
    return `"${text}" is not an IPv4 network: write it as address/prefix, such as 10.210.0.0/16`;
  }
  const prefix = Number(match[2]);
  if (prefix < 8 || prefix > 24) {
    return `"${text}" has prefix /${prefix}: it must be /8 to /24, since each server gets a /24 of it`;
  }
  const value = ipv4ToNumber(address);
  const network = ipv4FromNumber(value - (value % 2 ** (32 - prefix)));
  return `"${text}" names an address inside the network: did you mean "${network}/${prefix}"?`;
}
