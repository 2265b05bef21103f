import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../../model/address.ts";
import { capacity, cidrParts, serverAddress, type SubnetNumber } from "../../model/cluster.ts";
import type { Trace, TracedRow } from "../../model/dns-trace.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import { NONE } from "./name-claims.ts";
import { byPlace, knownRows, labelsOf, traceRow, type KnownRow } from "./traced-rows.ts";
import { describeClaim, whyShadowed } from "./zone-listing.ts";
import { NEGATIVE_TTL_SECONDS } from "./zone-table.ts";
import type { Zone } from "./zone.ts";

export interface TraceContext {
  readonly ttlSeconds: number;
  /** whether questions are answered from a table already; until then own names give SERVFAIL */
  readonly hasTable: boolean;
}

/**
 * What is answered to a question for a name, and why: `myapp-api`, `myapp-api.jiji`, `_80._tcp.myapp-api.jiji`,
 * `web1.server.jiji`, an IPv4 address for its PTR, or any other name. Looks at every row that could have to do with it.
 * Changes nothing.
 */
export function traceName(zone: Zone, text: string, context: TraceContext): Trace {
  const address = parseIpv4(text);
  const name = text.toLowerCase().replace(/\.$/, "");
  const trace =
    address === undefined
      ? traceLabels(zone, name.includes(".") || name === SERVICE_DOMAIN ? name : `${name}.${SERVICE_DOMAIN}`, context)
      : traceAddress(zone, ipv4ToNumber(address), context);
  if (context.hasTable || trace.answer.rcode === null) return trace;
  return { ...trace, answer: { rcode: "SERVFAIL", records: [], ttlSeconds: null } };
}

/** Every row of one container, by its full id. */
export function traceContainer(zone: Zone, containerId: string): readonly TracedRow[] {
  const rows: TracedRow[] = [];
  for (const known of knownRows(zone)) {
    if (zone.rows.facts(known.row).containerId === containerId) rows.push(traceRow(zone, known));
  }
  return rows.sort(byPlace);
}

function traceLabels(zone: Zone, name: string, context: TraceContext): Trace {
  const labels = name.split(".");
  const reverse = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  const reversed = reverse === null ? undefined : parseIpv4(reverse.slice(1).reverse().join("."));
  if (reversed !== undefined) return traceAddress(zone, ipv4ToNumber(reversed), context);
  if (labels.at(-1) !== SERVICE_DOMAIN) return elsewhere(name);
  if (labels.length === 1) return told(name, "apex", "the zone itself", NO_ADDRESS);
  if (labels.at(-2) === "server" && labels.length <= 3) return traceServer(zone, name, labels, context);
  if (name === `ns.${SERVICE_DOMAIN}`) return traceOwnServer(zone, name, context);
  const port = /^_([1-9][0-9]{0,4})\._(tcp|udp|sctp)\.([^.]+)\.jiji$/.exec(name);
  if (port !== null) return tracePort(zone, name, `${port[1]}/${port[2]}`, port[3] ?? "", context);
  return labels.length === 2 ? traceLabel(zone, name, labels[0] ?? "", context) : nothing(name);
}

function traceLabel(zone: Zone, name: string, label: string, { ttlSeconds }: TraceContext): Trace {
  const rows = rowsOf(zone, label);
  const [claim = NONE, ...losers] = zone.claims.of(label);
  if (claim === NONE) return { ...nothing(name), rows: rows.map((known) => traceRow(zone, known)).sort(byPlace) };
  const { addresses } = zone.answer(claim);
  return {
    name,
    kind: zone.claims.isService(claim) ? "service" : "instance",
    means: describeClaim(zone, claim),
    rows: rows.map((known) => traceUnder(zone, known, name)).sort(byPlace),
    shadowed: losers.map((loser) => ({
      means: describeClaim(zone, loser),
      why: whyShadowed(zone.claims.isService(claim), zone.claims.isService(loser)),
    })),
    answer: {
      rcode: "NOERROR",
      records: addresses.map((address) => ({ type: "A", data: ipv4FromNumber(address) })),
      ttlSeconds: addresses.length > 0 ? ttlSeconds : NEGATIVE_TTL_SECONDS,
    },
  };
}

/** Rows that spell a label, as service or as instance. */
function rowsOf(zone: Zone, label: string): readonly KnownRow[] {
  return [...knownRows(zone)].filter(({ row }) => labelsOf(zone, row).includes(label));
}

/** A row under one of its names: that another one leads to it does not put it into this one's answer. */
function traceUnder(zone: Zone, known: KnownRow, name: string): TracedRow {
  const traced = traceRow(zone, known);
  const hold = traced.names.find((each) => each.name === name);
  if (!traced.isAnswered || hold?.isHeld === true) return traced;
  return { ...traced, isAnswered: false, why: hold?.why ?? "it has another name" };
}

function tracePort(zone: Zone, name: string, port: string, label: string, context: TraceContext): Trace {
  const base = traceLabel(zone, `${label}.${SERVICE_DOMAIN}`, label, context);
  const claim = zone.claims.winner(label);
  if (claim === NONE) return { ...base, name };
  const open = rowsOf(zone, label).filter(({ row }) => zone.rows.facts(row).ports.split(" ").includes(port));
  const isKnown = open.some(({ row }) => isOfClaim(zone, claim, row));
  const targets = new Set<string>();
  for (const { row } of open) {
    if (isOfClaim(zone, claim, row) && zone.isAnswered(row)) targets.add(zone.nameOf(row) ?? "");
  }
  targets.delete("");
  const isOpen = (row: TracedRow): boolean => open.some(({ owner, n }) => owner.id === row.serverId && n === row.n);
  return {
    ...base,
    name,
    kind: isKnown ? "port" : "nothing",
    means: `port ${port} of ${base.means}`,
    rows: base.rows.map((row) =>
      row.isAnswered && !isOpen(row) ? { ...row, isAnswered: false, why: `it does not expose ${port}` } : row,
    ),
    answer: {
      rcode: isKnown ? "NOERROR" : "NXDOMAIN",
      records: [...targets].map((target) => ({
        type: "SRV",
        data: `0 0 ${port.split("/")[0]} ${target}.${SERVICE_DOMAIN}`,
      })),
      ttlSeconds: targets.size > 0 ? context.ttlSeconds : NEGATIVE_TTL_SECONDS,
    },
  };
}

function isOfClaim(zone: Zone, claim: number, row: number): boolean {
  return zone.claims.serviceClaim(row) === claim || zone.claims.instanceClaim(row) === claim;
}

function traceServer(zone: Zone, name: string, labels: readonly string[], { ttlSeconds }: TraceContext): Trace {
  if (labels.length === 2) return told(name, "branch", "the servers' names stand below it", NO_ADDRESS);
  const server = zone.servers.find((each) => each.name === labels[0]);
  if (server === undefined) return nothing(name);
  return told(name, "server", `server ${server.name}`, addressAnswer(zone, server.subnet, ttlSeconds));
}

function traceOwnServer(zone: Zone, name: string, { ttlSeconds }: TraceContext): Trace {
  const server = zone.servers.find(({ id }) => id === zone.self);
  if (server === undefined) return told(name, "server", "this server, which is no member yet", NO_ADDRESS);
  return told(name, "server", `server ${server.name}, this one`, addressAnswer(zone, server.subnet, ttlSeconds));
}

function traceAddress(zone: Zone, address: number, { ttlSeconds }: TraceContext): Trace {
  const shown = ipv4FromNumber(address);
  const name = `${shown.split(".").toReversed().join(".")}.in-addr.arpa`;
  const distance = address - cidrParts(zone.cluster).first;
  if (distance < 0 || distance >= capacity(zone.cluster) * 256) return elsewhere(name);
  const rows = [...knownRows(zone)].filter(({ row }) => zone.rows.address(row) === address);
  const target = zone.nameOfAddress(distance);
  return {
    name,
    kind: target === undefined ? "nothing" : "address",
    means: target === undefined ? `nobody has ${shown}` : `the address ${shown}`,
    rows: rows.map((known) => traceRow(zone, known)).sort(byPlace),
    shadowed: [],
    answer: {
      rcode: target === undefined ? "NXDOMAIN" : "NOERROR",
      records: target === undefined ? [] : [{ type: "PTR", data: `${target}.${SERVICE_DOMAIN}` }],
      ttlSeconds: target === undefined ? NEGATIVE_TTL_SECONDS : ttlSeconds,
    },
  };
}

const NO_ADDRESS: Trace["answer"] = { rcode: "NOERROR", records: [], ttlSeconds: NEGATIVE_TTL_SECONDS };

function addressAnswer(zone: Zone, subnet: number, ttlSeconds: number): Trace["answer"] {
  const address = serverAddress(zone.cluster, subnet as SubnetNumber);
  return { rcode: "NOERROR", records: [{ type: "A", data: address }], ttlSeconds };
}

function told(name: string, kind: Trace["kind"], means: string, answer: Trace["answer"]): Trace {
  return { name, kind, means, rows: [], shadowed: [], answer };
}

function nothing(name: string): Trace {
  return told(name, "nothing", "nobody has that name", {
    rcode: "NXDOMAIN",
    records: [],
    ttlSeconds: NEGATIVE_TTL_SECONDS,
  });
}

function elsewhere(name: string): Trace {
  return told(name, "elsewhere", "not a name of ours: the question is passed on", {
    rcode: null,
    records: [],
    ttlSeconds: null,
  });
}
