import { decode, type DecodedPacket } from "dns-packet";
import { ipv4ToNumber, parseIpv4, type Ipv4 } from "../../model/address.ts";
import { cidrParts } from "../../model/cluster.ts";
import type { Trace, TracedRow } from "../../model/dns-trace.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import { answerAsked } from "../packets/question-service.ts";
import { FORWARD, Responder } from "../packets/responder.ts";
import { CLASS_IN, encodeName, HEADER_BYTES, MAX_MESSAGE_BYTES, TYPE } from "../wire/wire.ts";
import { NONE } from "../zone/name-claims.ts";
import type { ZoneTable } from "../zone/zone-table.ts";
import type { Zone } from "../zone/zone.ts";
import { describeClaim, shadowsOf } from "./name-listing.ts";
import { labelsOf, TracedRows } from "./traced-rows.ts";

/**
 * What is answered to a question for a name, and why: `myapp-api`, `myapp-api.jiji`, `_80._tcp.myapp-api.jiji`,
 * `web1.server.jiji`, an IPv4 address for its PTR, or any other name. The question is really asked, of the table and the
 * code that everybody's are answered with; what these decide of each row is taken down. Changes nothing.
 */
export function traceName(table: ZoneTable, text: string): Trace {
  const { zone } = table;
  const name = fullName(text);
  const labels = name.split(".");
  const address = addressOfReverse(name);
  if (address !== undefined) {
    const rows = new TracedRows(zone, (row) => zone.rows.address(row) === ipv4ToNumber(address));
    const answer = ask(table, name, TYPE.PTR, rows);
    rows.recordAll();
    if (answer.rcode === null) return { name, ...ELSEWHERE, rows: [], shadowed: [], answer };
    const isThere = answer.rcode !== "NXDOMAIN";
    const means = isThere ? `the address ${address}` : `nobody has ${address}`;
    return { name, kind: isThere ? "address" : "nothing", means, rows: rows.list(), shadowed: [], answer };
  }
  const isPort = labels.length === 4 && labels[0]?.startsWith("_") === true;
  const label = (isPort || labels.length === 2) && labels.at(-1) === SERVICE_DOMAIN ? (labels.at(-2) ?? "") : undefined;
  const rows = new TracedRows(zone, (row) => label !== undefined && labelsOf(zone, row).includes(label));
  const answer = ask(table, name, isPort ? TYPE.SRV : TYPE.A, rows);
  const [claim = NONE, ...losers] = label === undefined ? [] : zone.claims.of(label);
  if (!isPort && claim !== NONE) zone.answer(claim, rows.record);
  return {
    name,
    ...describe(zone, labels, claim, answer.rcode),
    rows: label === undefined ? [] : rows.list(`${label}.${SERVICE_DOMAIN}`),
    shadowed: shadowsOf(zone, claim, losers),
    answer,
  };
}

/** Every row of one container, by its full id. */
export function traceContainer(zone: Zone, containerId: string): readonly TracedRow[] {
  const rows = new TracedRows(zone, (row) => zone.rows.facts(row).containerId === containerId);
  rows.recordAll();
  return rows.list();
}

function fullName(text: string): string {
  const address = parseIpv4(text);
  if (address !== undefined) return `${address.split(".").toReversed().join(".")}.in-addr.arpa`;
  const name = text.toLowerCase().replace(/\.$/, "");
  return name.includes(".") || name === SERVICE_DOMAIN ? name : `${name}.${SERVICE_DOMAIN}`;
}

function addressOfReverse(name: string): Ipv4 | undefined {
  const octets = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name)?.[1]?.split(".").slice(0, 4);
  return octets === undefined ? undefined : parseIpv4(octets.toReversed().join("."));
}

const ELSEWHERE = { kind: "elsewhere", means: "not a name of ours: the question is passed on" } as const;

/** What a name stands for that is no address. */
function describe(
  zone: Zone,
  labels: readonly string[],
  claim: number,
  rcode: string | null,
): { readonly kind: Trace["kind"]; readonly means: string } {
  if (rcode === null) return ELSEWHERE;
  const [first = "", second] = labels;
  if (claim !== NONE && labels.length === 2) {
    return { kind: zone.claims.isService(claim) ? "service" : "instance", means: describeClaim(zone, claim) };
  }
  if (claim !== NONE) {
    const means = `port ${first.slice(1)}/${second?.slice(1)} of ${describeClaim(zone, claim)}`;
    return { kind: rcode === "NXDOMAIN" ? "nothing" : "port", means };
  }
  if (labels.length === 1) return { kind: "apex", means: "the zone itself" };
  if (rcode === "SERVFAIL") return { kind: "nothing", means: "no name is known yet" };
  if (rcode === "NXDOMAIN") return { kind: "nothing", means: "nobody has that name" };
  if (second === "server") return { kind: "server", means: `server ${first}` };
  if (first !== "ns") return { kind: "branch", means: "only names below it are there" };
  const own = zone.servers.find(({ id }) => id === zone.self);
  const means = own === undefined ? "this server, which is no member yet" : `server ${own.name}, this one`;
  return { kind: "server", means };
}

/** The real answer, without the limits of a datagram; rcode null: the question is passed on. */
function ask(table: ZoneTable, name: string, type: number, rows: TracedRows): Trace["answer"] {
  const bytes = new Uint8Array(2 * MAX_MESSAGE_BYTES);
  const view = new DataView(bytes.buffer);
  const wire = encodeName(Buffer.from(name, "utf8").toString("latin1"));
  if (wire === undefined) {
    // With an empty label or one over 63 octets no question can be made.
    return { rcode: name.endsWith(`.${SERVICE_DOMAIN}`) ? "NXDOMAIN" : null, records: [], ttlSeconds: null };
  }
  view.setUint16(4, 1);
  bytes.set(wire, HEADER_BYTES);
  view.setUint16(HEADER_BYTES + wire.length, type);
  view.setUint16(HEADER_BYTES + wire.length + 2, CLASS_IN);
  const responder = new Responder(table.seed, cidrParts(table.zone.cluster));
  responder.use(table.reader);
  const length = responder.answer(view, 0, HEADER_BYTES + wire.length + 4, true);
  if (length === FORWARD) return { rcode: null, records: [], ttlSeconds: null };
  const message =
    length > 0
      ? bytes.slice(0, length)
      : answerAsked(responder, bytes, true, table.zone, table.ttlSeconds, rows.record).message;
  return readAnswer(decode(Buffer.from(message)));
}

function readAnswer({ answers = [], authorities = [], ...header }: DecodedPacket): Trace["answer"] {
  const records = answers.flatMap((answer): Trace["answer"]["records"] => {
    if (answer.type === "A" || answer.type === "PTR") return [{ type: answer.type, data: answer.data }];
    if (answer.type !== "SRV") return [];
    const { priority, weight, port, target } = answer.data;
    return [{ type: answer.type, data: `${priority} ${weight} ${port} ${target}` }];
  });
  const ttls = [...answers, ...authorities].flatMap((record) => ("ttl" in record ? (record.ttl ?? []) : []));
  // The package's types leave the code out.
  const { rcode } = header as { readonly rcode?: string };
  return { rcode: rcode ?? "NOERROR", records, ttlSeconds: ttls[0] ?? null };
}
