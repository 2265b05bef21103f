import {
  dnsListLineSchema,
  resolveLineSchema,
  type DnsListing,
  type DnsListLine,
  type DnsListRequest,
  type ListedName,
  type ResolvedName,
  type ResolveLine,
  type ResolveRequest,
} from "../../model/node-dns.ts";
import type { NodeClient } from "../servers/node-client.ts";

/** What a server's jiji-dns publishes; of detail `digest` without the names. Throws a JijiError. */
export async function askListing(client: NodeClient, request: DnsListRequest): Promise<DnsListing> {
  const names = new Map<string, ListedName>();
  let end: Extract<DnsListLine, { type: "listed" }> | undefined;
  await client.askLines("dns", request, dnsListLineSchema, (line) => {
    if (line.type === "listed") {
      end = line;
      return true;
    }
    const { type: _type, ...name } = line;
    const before = names.get(name.name);
    names.set(name.name, before === undefined ? name : { ...before, records: [...before.records, ...name.records] });
    return false;
  });
  if (end === undefined) throw new Error("a list without an end");
  const { type: _type, ...rest } = end;
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
  let end: Extract<ResolveLine, { type: "resolved" }> | undefined;
  await client.askLines("resolve", request, resolveLineSchema, (line) => {
    if (line.type === "resolved") {
      end = line;
      return true;
    }
    const { type: _type, ...answer } = line;
    answers.push(answer);
    return false;
  });
  if (end === undefined) throw new Error("an answer without an end");
  return { answers, endpoint: end.endpoint, isSettled: end.isSettled };
}
