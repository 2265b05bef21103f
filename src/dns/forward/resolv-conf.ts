import { endpointOf, type Endpoint } from "../../model/address.ts";

const DNS_PORT = 53;

/** Addresses of resolvers in a resolv.conf's text, in order, each once (resolv.conf(5)); zones of IPv6 are left out. */
export function parseResolvConf(text: string): readonly Endpoint[] {
  const servers = new Set<Endpoint>();
  for (const line of text.split("\n")) {
    const match = /^\s*nameserver\s+([0-9A-Fa-f:.]+)(?:\s|$)/.exec(line);
    const endpoint = match?.[1] === undefined ? undefined : endpointOf(match[1], DNS_PORT);
    if (endpoint !== undefined) servers.add(endpoint);
  }
  return [...servers];
}
