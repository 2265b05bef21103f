import type { DnsListing } from "../../model/node/dns.ts";
import type { AskedServer } from "../servers/asked-servers.ts";
import type { Difference, NatServers } from "./dns-differences.ts";

/** A difference that lasts shorter than this is a change under way. */
export const SECOND_LOOK_MS = 1_000;

/** What the command found, whichever way it asked. */
export interface DnsReport {
  /** as `--json` prints it */
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: () => string;
  readonly isFound: boolean;
  /** names that could have been meant, when none was found */
  readonly known: readonly string[];
  readonly differences: readonly Difference[];
  /** servers that could not be asked, and why */
  readonly unasked: readonly { readonly server: string; readonly why: string }[];
}

/** Which servers are behind NAT, and which server owns each address of these lists. */
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
