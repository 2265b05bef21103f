import { createHash } from "node:crypto";
import { askDns } from "../dns/operation/control-client.ts";
import type { NamesAnswer } from "../dns/operation/control-protocol.ts";
import { JijiError } from "../model/errors.ts";
import type { DnsListing, DnsListLine, ListedName } from "../model/node/dns.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import { PATHS } from "../model/paths.ts";
import type { Call } from "./call.ts";

/** How jiji-dns is asked; tests give another. */
export type AskNames = (filter: string | null) => Promise<NamesAnswer>;

const askRunning: AskNames = (filter) => askDns(PATHS.dnsControlSocket, { type: "names", filter });

/** `jiji node dns`: what this server's running jiji-dns publishes. */
export async function runNodeDns(
  { filter, detail }: CheckedRequestOf<"dns">,
  { say }: Call<"dns">,
  ask: AskNames = askRunning,
): Promise<void> {
  const listing = listingOf(await ask(filter));
  for (const line of linesOf(listing, detail)) say(line);
}

/** Records of one line; a service that has more comes in several lines. */
const RECORDS_IN_LINE = 1000;

/** A listing as lines; of detail `digest` the last one only. */
export function* linesOf({ names, ...end }: DnsListing, detail: "names" | "digest"): Generator<DnsListLine> {
  for (const name of detail === "names" ? names : []) {
    for (let at = 0; at === 0 || at < name.records.length; at += RECORDS_IN_LINE) {
      yield { type: "name", ...name, records: name.records.slice(at, at + RECORDS_IN_LINE) };
    }
  }
  yield { type: "listed", ...end };
}

/** A digest of every name with its answered addresses, sorted: equal when the answers are equal. */
export function digestOf(names: readonly Pick<ListedName, "name" | "records">[]): string {
  const hash = createHash("sha256");
  for (const { name, records } of names.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const answered = records.flatMap(({ address, answered: isIn }) => (isIn && address !== null ? [address] : []));
    hash.update(`${name} ${[...new Set(answered)].toSorted().join(" ")}\n`);
  }
  return hash.digest("hex");
}

/** Throws a {@link JijiError} when jiji-dns has no table yet, which is not the same as an empty list. */
function listingOf(answer: NamesAnswer): DnsListing {
  if (answer.source === "none") {
    throw new JijiError("remote", "jiji-dns has not read the store yet", {
      hint: "systemctl status jiji-dns jiji-agent jiji-corrosion",
    });
  }
  const { server, ttlSeconds, source, names } = answer;
  return { server: server ?? "", ttlSeconds, source, digest: digestOf(names), names };
}
