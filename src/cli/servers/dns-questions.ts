import type { DnsListing, DnsListRequest, ListedName } from "../../model/node/dns.ts";
import type { ResolvedName, ResolveRequest } from "../../model/node/resolve.ts";
import type { NodeClient } from "./node-client.ts";

/** What a server's jiji-dns publishes; of detail `digest` without the names. Throws a JijiError. */
export async function askListing(client: NodeClient, request: DnsListRequest): Promise<DnsListing> {
  const names = new Map<string, ListedName>();
  const { type: _type, ...rest } = await client.askUntil("dns", request, "listed", (line) => {
    if (line.type !== "name") return;
    const { type: _line, ...name } = line;
    const before = names.get(name.name);
    names.set(name.name, before === undefined ? name : { ...before, records: [...before.records, ...name.records] });
  });
  return { ...rest, names: [...names.values()] };
}

/** What a server's jiji-dns answered over the wire. */
export interface Resolution {
  readonly answers: readonly ResolvedName[];
  /** `ADDRESS:PORT` */
  readonly endpoint: string;
  readonly isSettled: boolean;
}

/** Has a server ask its own jiji-dns. Throws a JijiError. */
export async function askResolve(client: NodeClient, request: ResolveRequest): Promise<Resolution> {
  const answers: ResolvedName[] = [];
  const { endpoint, isSettled } = await client.askUntil("resolve", request, "resolved", (line) => {
    if (line.type !== "answer") return;
    const { type: _type, ...answer } = line;
    answers.push(answer);
  });
  return { answers, endpoint, isSettled };
}
