import { cidrParts } from "../../model/cluster.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import type { ContainerFacts } from "./container-rows.ts";
import { MessageWriter } from "../wire/message-writer.ts";
import { NONE } from "./name-claims.ts";
import type { Question } from "../wire/question.ts";
import { encodeName, formatName, TYPE } from "../wire/wire.ts";
import type { Recorder, Zone } from "./zone.ts";

/** What the zone says to a question that the table does not hold. */
export type ZoneAnswer =
  | {
      readonly kind: "records";
      readonly message: MessageWriter;
      readonly answers: number;
      /** where the answers end in the message; what follows may be left out */
      readonly answersEnd: number;
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
 * @param record hears of each row that was looked at for SRV
 */
export function answerFromZone(
  zone: Zone,
  question: Question,
  head: Uint8Array,
  ttlSeconds: number,
  record?: Recorder,
): ZoneAnswer {
  const labels = formatName(question.nameCopy()).split(".");
  if (labels.at(-1) === "arpa") return hasServerBelow(zone, labels) ? NODATA : NXDOMAIN;
  const [label] = labels.slice(-2);
  if (label === undefined || labels.length < 2 || labels.at(-1) !== SERVICE_DOMAIN) return NXDOMAIN;
  const claim = zone.claims.winner(label);
  if (claim === NONE) return NXDOMAIN;
  const known = containersOf(zone, claim);
  if (labels.length === 2) {
    const answered = known.filter(({ row }) => zone.omission(row) === undefined);
    return question.type === TYPE.TXT ? answerText(answered, head, ttlSeconds) : NODATA;
  }
  const protocol = labels.at(-3)?.slice(1) ?? "";
  const port = Number(/^_([1-9][0-9]{0,4})$/.exec(labels[0] ?? "")?.[1]);
  const isOpen = (facts: ContainerFacts): boolean => portsOf(facts, protocol).includes(port);
  const open = known.filter(({ row, facts }) => {
    const omission = zone.omission(row) ?? (isOpen(facts) ? undefined : "port closed");
    record?.(row, omission);
    return omission === undefined;
  });
  if (!labels.at(-3)?.startsWith("_") || !known.some(({ facts }) => portsOf(facts, protocol).length > 0))
    return NXDOMAIN;
  if (labels.length === 3) return NODATA;
  if (labels.length !== 4 || !known.some(({ facts }) => isOpen(facts))) return NXDOMAIN;
  if (question.type !== TYPE.SRV && question.type !== TYPE.ANY) return NODATA;
  return answerPlaces(zone, open, port, head, ttlSeconds, record);
}

/** A container behind a name. */
interface Container {
  readonly row: number;
  readonly facts: ContainerFacts;
  readonly server: string | undefined;
}

/** The claim's containers, in an order that does not depend on how they became known. */
function containersOf(zone: Zone, claim: number): readonly Container[] {
  const containers: Container[] = [];
  for (let row = zone.claims.firstRow(claim); row !== NONE; row = zone.claims.nextRow(claim, row)) {
    containers.push({ row, facts: zone.rows.facts(row), server: zone.ownerOf(row).member?.name });
  }
  return containers.sort(
    ({ facts: a }, { facts: b }) => a.address - b.address || (a.containerId < b.containerId ? -1 : 1),
  );
}

/** Whether a server lies in the network that a name like `3.210.10.in-addr.arpa` spells: its own address has a name. */
function hasServerBelow(zone: Zone, labels: readonly string[]): boolean {
  const octets = labels.slice(0, -2).toReversed().map(Number);
  const size = 2 ** (8 * (4 - octets.length));
  const first = octets.reduce((sum, octet, rank) => sum + octet * 2 ** (8 * (3 - rank)), 0);
  const from = first - cidrParts(zone.cluster).first;
  return zone.servers.some(({ subnet }) => subnet * 256 >= from && subnet * 256 < from + size);
}

function portsOf(facts: ContainerFacts, protocol: string): readonly number[] {
  return facts.ports.split(" ").flatMap((text) => {
    const [port, of] = text.split("/");
    return of === protocol ? [Number(port)] : [];
  });
}

function answerText(containers: readonly Container[], head: Uint8Array, ttlSeconds: number): ZoneAnswer {
  if (containers.length === 0) return NODATA;
  const message = new MessageWriter(head);
  const owner = head.subarray(12, head.length - 4);
  const told = containers.slice(0, MAX_TEXTS);
  for (const container of told) message.txt(owner, ttlSeconds, textsOf(container));
  return { kind: "records", message, answers: told.length, answersEnd: message.length, additionals: 0 };
}

/** `key=value` as RFC 6763 §6.3 has it. */
function textsOf({ facts, server }: Container): readonly string[] {
  const { containerId, ports, image } = facts;
  const texts = [`container=${containerId.slice(0, 12)}`];
  if (server !== undefined) texts.push(`server=${server}`);
  if (ports !== "") texts.push(`ports=${ports.replaceAll(" ", ",")}`);
  if (image !== "") texts.push(`image=${image}`);
  return texts;
}

function answerPlaces(
  zone: Zone,
  containers: readonly Container[],
  port: number,
  head: Uint8Array,
  ttlSeconds: number,
  record?: Recorder,
): ZoneAnswer {
  const targets = new Map<string, Set<number>>();
  for (const { row, facts } of containers) {
    const target = zone.nameOf(row);
    const isOneTooMany = target !== undefined && targets.size >= MAX_PLACES && !targets.has(target);
    if (target === undefined || isOneTooMany) {
      record?.(row, isOneTooMany ? "too many" : "no name");
      continue;
    }
    targets.set(target, (targets.get(target) ?? new Set()).add(facts.address));
  }
  if (targets.size === 0) return NODATA;
  const message = new MessageWriter(head);
  const owner = head.subarray(12, head.length - 4);
  const names = [...targets].map(([label, addresses]) => ({ name: nameOf(label), addresses }));
  for (const { name } of names) message.srv(owner, ttlSeconds, port, name);
  const answersEnd = message.length;
  let additionals = 0;
  for (const { name, addresses } of names) {
    for (const address of addresses) message.a(name, ttlSeconds, address);
    additionals += addresses.size;
  }
  return { kind: "records", message, answers: names.length, answersEnd, additionals };
}

function nameOf(label: string): Uint8Array {
  const name = encodeName(`${label}.${SERVICE_DOMAIN}`);
  if (name === undefined) throw new TypeError(`not a label: ${label}`);
  return name;
}
