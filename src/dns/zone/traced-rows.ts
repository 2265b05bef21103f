import { ipv4FromNumber } from "../../model/address.ts";
import { cidrParts } from "../../model/cluster.ts";
import type { TracedRow } from "../../model/dns-trace.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import { NONE } from "./name-claims.ts";
import type { Owner } from "./owners.ts";
import { describeClaim, whyNotAnswered, whyShadowed } from "./zone-listing.ts";
import type { Zone } from "./zone.ts";

/** A row of the store, or one that came ahead of it, wherever it stands and whether it counts or not. */
export interface KnownRow {
  readonly owner: Owner;
  readonly n: number;
  readonly row: number;
  readonly source: "store" | "news";
  /** the rev of the newer row of the same place */
  readonly newerRev: number | undefined;
}

/** Every row that is known. */
export function* knownRows(zone: Zone): Generator<KnownRow> {
  for (const owner of zone.owners.all()) {
    for (const [n, row] of owner.rows) {
      const news = owner.news.get(n)?.row ?? NONE;
      const isOutdated = news !== NONE && zone.rows.rev(news) > zone.rows.rev(row);
      yield { owner, n, row, source: "store", newerRev: isOutdated ? zone.rows.rev(news) : undefined };
    }
    for (const [n, { row }] of owner.news) {
      const stored = owner.rows.get(n) ?? NONE;
      const isOutdated = stored !== NONE && zone.rows.rev(stored) >= zone.rows.rev(row);
      yield { owner, n, row, source: "news", newerRev: isOutdated ? zone.rows.rev(stored) : undefined };
    }
  }
}

/** The labels below `jiji` that a row spells, the service's first. */
export function labelsOf(zone: Zone, row: number): readonly string[] {
  const { rows } = zone;
  const service = `${rows.texts.text(rows.project(row))}-${rows.texts.text(rows.service(row))}`;
  return rows.instance(row) < 0 ? [service] : [service, `${service}-${rows.texts.text(rows.instance(row))}`];
}

/** What became of a row. `besides`: a further reason of the caller's why it is not answered. */
export function traceRow(zone: Zone, known: KnownRow, besides?: string): TracedRow {
  const { owner, n, row, source } = known;
  const { address, containerId, state, rev } = zone.rows.facts(row);
  const names = labelsOf(zone, row).map((label) => holdOf(zone, row, label));
  const why = whyNotCounted(zone, known) ?? whyNotAnswered(zone, row) ?? besides;
  return {
    server: owner.member?.name ?? owner.id,
    serverId: owner.id,
    n,
    containerId,
    address: address < 0 ? null : ipv4FromNumber(address),
    state,
    rev,
    source,
    names,
    isAnswered: why === undefined && names.some(({ isHeld }) => isHeld),
    ...(why !== undefined && { why }),
    ...(why === undefined && names.every(({ isHeld }) => !isHeld) && { why: names[0]?.why ?? "" }),
  };
}

/** Why a row is not even looked at when names are made, for people; undefined when it is. */
function whyNotCounted(zone: Zone, { owner, row, newerRev, source }: KnownRow): string | undefined {
  if (newerRev !== undefined) {
    return source === "store"
      ? `its owner has told of a newer one (rev ${newerRev})`
      : `the store has a newer one (rev ${newerRev})`;
  }
  if (owner.member === undefined) return "its owner is no member of the mesh";
  const address = zone.rows.address(row);
  const host = address - cidrParts(zone.cluster).first - owner.member.subnet * 256;
  return address < 0 || (host >= 2 && host <= 254)
    ? undefined
    : "its address is none of its owner's containers', so it does not count";
}

/** Whether a label leads to the row's service or instance, and what has it otherwise. */
function holdOf(zone: Zone, row: number, label: string): TracedRow["names"][number] {
  const name = `${label}.${SERVICE_DOMAIN}`;
  const claims = zone.claims.of(label);
  const own = label === labelsOf(zone, row)[0] ? zone.claims.serviceClaim(row) : zone.claims.instanceClaim(row);
  const [winner] = claims;
  if (winner === undefined || own === NONE) {
    return { name, isHeld: false, why: label.length > 63 ? "it is longer than a DNS label" : "no row of it counts" };
  }
  if (winner === own) return { name, isHeld: true };
  const why = whyShadowed(zone.claims.isService(winner), zone.claims.isService(own));
  return { name, isHeld: false, why: `${name} means ${describeClaim(zone, winner)}: ${why}` };
}

/** In an order that does not depend on how rows became known. */
export function byPlace(a: TracedRow, b: TracedRow): number {
  if (a.server !== b.server) return a.server < b.server ? -1 : 1;
  return a.n - b.n || (a.source < b.source ? 1 : -1);
}
