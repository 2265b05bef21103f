import type { DnsListing, ListedName } from "../../model/node/dns.ts";
import type { ResolvedName } from "../../model/node/resolve.ts";
import type { Difference } from "./dns-differences.ts";
import type { Colors } from "../output.ts";
import { DIFFERS, renderTable } from "../table.ts";

/** The names as one server knows them. `agreeing`: all servers with the same names, including that one. */
export function renderListing(listing: DnsListing, agreeing: readonly string[], colors: Colors): string {
  const rows = listing.names.flatMap((name) => nameRows(name, listing.ttlSeconds, colors));
  const asked = agreeing.length > 1 ? agreeing.join(", ") : listing.server;
  const lines = [
    rows.length === 0
      ? `no names yet: no container with a project and a service is on the network (asked ${asked})`
      : renderTable(["NAME", "ADDRESS", "SERVER", "CONTAINER", "STATE", "TTL"], rows),
  ];
  if (listing.source === "saved") {
    lines.push(colors.yellow(`${listing.server} cannot read its store now: this is what it knew last`));
  }
  lines.push(...shadowLines(listing.names, colors));
  if (rows.length > 0) lines.push(colors.dim(agreeing.length > 1 ? `the same on ${asked}` : `asked ${asked}`));
  return lines.join("\n");
}

function nameRows({ name, records }: ListedName, ttlSeconds: number, colors: Colors): string[][] {
  if (records.length === 0) return [[name, colors.yellow("no address"), "-", "-", "-", "-"]];
  return records.map((record) => [
    name,
    record.answered ? (record.address ?? "-") : colors.dim(record.address ?? "-"),
    ...placeOf(record, colors),
    record.answered ? `${ttlSeconds} s` : "-",
  ]);
}

type Listed = ListedName["records"][number];

/** Server, container, state. */
function placeOf(record: Listed, colors: Colors): string[] {
  const { server, containerId, state, answered, why } = record;
  const isSaid = why === undefined || why === `it is ${state}`;
  return [
    server,
    containerId.slice(0, 12),
    answered ? state : colors.yellow(isSaid ? `${state}: not answered` : `${state}: ${why}`),
  ];
}

function shadowLines(names: readonly ListedName[], colors: Colors): string[] {
  return names.flatMap(({ name, means, shadowed }) =>
    shadowed.map((loser) =>
      colors.yellow(`${name} means ${means}; ${loser.means} is spelled like it and hidden: ${loser.why}`),
    ),
  );
}

/** What a server's jiji-dns answered over the wire, beside what it publishes. */
export interface AnswersView {
  readonly from: string;
  readonly endpoint: string;
  readonly answers: readonly ResolvedName[];
  /** undefined: it does not say */
  readonly listing: DnsListing | undefined;
}

export function renderAnswers({ from, endpoint, answers, listing }: AnswersView, colors: Colors): string {
  const listed = new Map(listing?.names.map((name) => [name.name, name]));
  const rows = answers.flatMap((answer) => answerRows(answer, listed.get(answer.name), colors));
  const lines = [
    rows.length === 0
      ? `no names yet: ${from} knows no container with a project and a service`
      : renderTable(["NAME", "ANSWER", "TTL", "TIME", "SERVER", "CONTAINER", "STATE"], rows),
    ...shadowLines(listing?.names ?? [], colors),
    colors.dim(`asked on ${from}: ${endpoint}`),
  ];
  return lines.join("\n");
}

function answerRows(answer: ResolvedName, listed: ListedName | undefined, colors: Colors): string[][] {
  const { name, rcode, addresses } = answer;
  const timing = [
    answer.ttlSeconds === null ? "-" : `${answer.ttlSeconds} s`,
    rcode === null ? "-" : `${answer.latencyMs.toFixed(1)} ms${answer.transport === "tcp" ? " (tcp)" : ""}`,
  ];
  const records = listed?.records ?? [];
  const rows = addresses.map((address) => {
    const record = records.find((each) => each.address === address);
    if (record !== undefined) return [name, address, ...timing, ...placeOf(record, colors)];
    return [name, listed === undefined ? address : differs(address, colors), ...timing, "-", "-", "-"];
  });
  if (addresses.length === 0) {
    const said = rcode === null ? "no answer" : rcode === "NOERROR" ? "no address" : rcode;
    rows.push([name, colors.yellow(said), ...timing, "-", "-", "-"]);
  }
  for (const record of records.filter(({ address }) => !addresses.includes(address ?? ""))) {
    const shown = record.address ?? "-";
    const cell = record.answered ? differs(`not ${shown}`, colors) : colors.dim(`not ${shown}`);
    rows.push([name, cell, "-", "-", ...placeOf(record, colors)]);
  }
  return rows;
}

function differs(text: string, colors: Colors): string {
  return colors.red(`${text} ${DIFFERS}`);
}

/** Where servers disagree. Differences that follow from the configuration stand apart. */
export function renderDifferences(differences: readonly Difference[], colors: Colors): string {
  const real = differences.filter(({ isByConfiguration }) => !isByConfiguration);
  const configured = differences.filter(({ isByConfiguration }) => isByConfiguration);
  const parts: string[] = [];
  if (real.length > 0) {
    const title = `servers disagree on ${real.length === 1 ? "a name" : `${real.length} names`}`;
    parts.push("", colors.red(title), viewTable(real));
  }
  if (configured.length > 0) {
    parts.push(
      "",
      "servers behind NAT have no path to each other, and leave each other's containers out",
      viewTable(configured),
    );
  }
  return parts.join("\n");
}

function viewTable(differences: readonly Difference[]): string {
  const rows = differences.flatMap(({ name, views }) =>
    views.map(({ servers, isKnown, addresses, leftOut }) => [
      name,
      servers.join(", "),
      addresses.length > 0 ? addresses.join(" ") : isKnown ? "no address" : "no such name",
      leftOut.map(({ address, why }) => `${address} (${why})`).join(", ") || "-",
    ]),
  );
  return renderTable(["NAME", "ON", "ANSWER", "LEFT OUT"], rows);
}
