import { cidrParts } from "../model/cluster.ts";
import { SERVICE_DOMAIN } from "../model/names.ts";
import { instanceLabelOf, serviceLabelOf, type ContainerRow } from "./container-row.ts";
import { MessageWriter } from "./message-writer.ts";
import type { Question } from "./question.ts";
import { encodeName, formatName, TYPE } from "./wire.ts";
import type { Zone } from "./zone.ts";

/** What the zone says to a question that the table does not hold. */
export type ZoneAnswer =
  | {
      readonly kind: "records";
      readonly message: MessageWriter;
      readonly answers: number;
      readonly additionals: number;
    }
  /** the name is there, but has nothing of that type */
  | { readonly kind: "nodata" }
  | { readonly kind: "nxdomain" };

const NODATA: ZoneAnswer = { kind: "nodata" };
const NXDOMAIN: ZoneAnswer = { kind: "nxdomain" };

/** Containers described by one TXT answer at most. */
const MAX_TEXTS = 32;
/** Places named by one SRV answer at most. */
const MAX_PLACES = 64;

/**
 * Answers SRV (`_{port}._tcp.{name}.jiji`) and TXT (`{name}.jiji`) from the zone itself, and tells names that only have
 * names below them from names that do not exist (RFC 8020).
 *
 * @param head the message up to the end of its question
 */
export function answerFromZone(zone: Zone, question: Question, head: Uint8Array, ttlSeconds: number): ZoneAnswer {
  const labels = formatName(question.nameCopy()).split(".");
  if (labels.at(-1) === "arpa") return hasAddressBelow(zone, labels) ? NODATA : NXDOMAIN;
  const [label] = labels.slice(-2);
  if (label === undefined || labels.length < 2 || labels.at(-1) !== SERVICE_DOMAIN) return NXDOMAIN;
  const claim = zone.claims.winner(label);
  if (claim === undefined) return NXDOMAIN;
  const rows = claim.rows.filter((row) => zone.isAnswered(row));
  if (labels.length === 2) return question.type === TYPE.TXT ? answerText(rows, head, ttlSeconds, zone) : NODATA;
  const protocol = labels.at(-3)?.slice(1) ?? "";
  const ports = portsOf(claim.rows, protocol);
  if (!labels.at(-3)?.startsWith("_") || ports.size === 0) return NXDOMAIN;
  if (labels.length === 3) return NODATA;
  const port = /^_([0-9]{1,5})$/.exec(labels[0] ?? "")?.[1];
  if (labels.length !== 4 || port === undefined || !ports.has(Number(port))) return NXDOMAIN;
  if (question.type !== TYPE.SRV && question.type !== TYPE.ANY) return NODATA;
  const open = rows.filter((row) => portsOf([row], protocol).has(Number(port)));
  return answerPlaces(open, Number(port), head, ttlSeconds, zone);
}

/** Whether an address that has a name lies in the network that a name like `3.210.10.in-addr.arpa` spells. */
function hasAddressBelow(zone: Zone, labels: readonly string[]): boolean {
  const octets = labels.slice(0, -2).toReversed().map(Number);
  const size = 2 ** (8 * (4 - octets.length));
  const first = octets.reduce((sum, octet, rank) => sum + octet * 2 ** (8 * (3 - rank)), 0);
  const from = first - cidrParts(zone.cluster).first;
  for (const distance of zone.addresses()) if (distance >= from && distance < from + size) return true;
  return false;
}

function portsOf(rows: readonly ContainerRow[], protocol: string): ReadonlySet<number> {
  const ports = new Set<number>();
  for (const row of rows) {
    for (const text of row.ports.split(" ")) {
      const [port, of] = text.split("/");
      if (of === protocol) ports.add(Number(port));
    }
  }
  return ports;
}

function answerText(rows: readonly ContainerRow[], head: Uint8Array, ttlSeconds: number, zone: Zone): ZoneAnswer {
  if (rows.length === 0) return NODATA;
  const message = new MessageWriter(head);
  const owner = head.subarray(12, head.length - 4);
  const told = inOrder(rows).slice(0, MAX_TEXTS);
  for (const row of told) message.txt(owner, ttlSeconds, textsOf(row, zone));
  return { kind: "records", message, answers: told.length, additionals: 0 };
}

/** `key=value` as RFC 6763 §6.3 has it. */
function textsOf(row: ContainerRow, zone: Zone): readonly string[] {
  const meta = JSON.parse(row.meta) as Record<string, string>;
  const texts = [`container=${row.containerId.slice(0, 12)}`];
  const server = row.owner.member?.name ?? zone.servers.find(({ id }) => id === row.owner.id)?.name;
  if (server !== undefined) texts.push(`server=${server}`);
  if (row.ports !== "") texts.push(`ports=${row.ports.replaceAll(" ", ",")}`);
  for (const key of ["version", "image"]) {
    const value = meta[key];
    if (value !== undefined) texts.push(`${key}=${value}`);
  }
  return texts;
}

function answerPlaces(
  rows: readonly ContainerRow[],
  port: number,
  head: Uint8Array,
  ttlSeconds: number,
  zone: Zone,
): ZoneAnswer {
  const targets = new Map<string, Set<number>>();
  for (const row of inOrder(rows)) {
    const target = targetOf(row, zone);
    if (target === undefined) continue;
    const addresses = targets.get(target) ?? new Set();
    if (targets.size < MAX_PLACES || targets.has(target)) targets.set(target, addresses.add(row.address));
  }
  if (targets.size === 0) return NODATA;
  const message = new MessageWriter(head);
  const owner = head.subarray(12, head.length - 4);
  const names = [...targets].map(([label, addresses]) => ({ name: nameOf(label), addresses }));
  for (const { name } of names) message.srv(owner, ttlSeconds, port, name);
  let additionals = 0;
  for (const { name, addresses } of names) {
    for (const address of addresses) message.a(name, ttlSeconds, address);
    additionals += addresses.size;
  }
  return { kind: "records", message, answers: names.length, additionals };
}

/** The narrowest name that leads to the container. */
function targetOf(row: ContainerRow, zone: Zone): string | undefined {
  const isWinner = (label: string | undefined, instance: string | undefined): label is string => {
    const claim = label === undefined ? undefined : zone.claims.winner(label);
    return claim?.project === row.project && claim.service === row.service && claim.instance === instance;
  };
  const instance = instanceLabelOf(row);
  if (isWinner(instance, row.instance)) return instance;
  const service = serviceLabelOf(row);
  return isWinner(service, undefined) ? service : undefined;
}

function inOrder(rows: readonly ContainerRow[]): readonly ContainerRow[] {
  return rows.toSorted((a, b) => a.address - b.address || (a.containerId < b.containerId ? -1 : 1));
}

function nameOf(label: string): Uint8Array {
  const name = encodeName(`${label}.${SERVICE_DOMAIN}`);
  if (name === undefined) throw new TypeError(`not a label: ${label}`);
  return name;
}
