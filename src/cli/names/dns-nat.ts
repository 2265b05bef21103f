import type { DnsListing } from "../../model/node/dns.ts";
import type { AskedServer } from "../servers/asked-servers.ts";
import type { NatServers } from "./dns-differences.ts";

/** Which of the servers are behind NAT, and whose the addresses of these lists are. */
export async function natServers(servers: readonly AskedServer[], listings: Iterable<DnsListing>): Promise<NatServers> {
  const names = new Map<string, string>();
  for (const server of servers) {
    const spec = await server.spec;
    if (spec?.nat === true) names.set(server.name, spec.name);
  }
  const owners = new Map<string, string>();
  for (const listing of listings) {
    for (const { records } of listing.names) {
      for (const { address, server } of records) if (address !== null) owners.set(address, server);
    }
  }
  return { names, owners };
}
