import { ipv4FromNumber } from "../../model/address.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import type { ListedName, ListedRecord, Shadow } from "../../model/node/dns.ts";
import { compareText, NONE } from "../zone/name-claims.ts";
import type { Omission, Zone } from "../zone/zone.ts";

/** Names listed between two turns of others; takes some milliseconds. */
const SLICE_NAMES = 500;

/**
 * Every published name that contains `filter`, in order, with what is behind it. Questions have their turn in between, so
 * each name is as it was at some moment, not all at the same.
 */
export async function listNames(zone: Zone, filter: string): Promise<ListedName[]> {
  // By name, since one that goes and comes back meanwhile is met twice.
  const names = new Map<string, ListedName>();
  let looked = 0;
  for (const claim of zone.claims.winners()) {
    if (++looked % SLICE_NAMES === 0) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      await zone.settled();
    }
    const label = zone.claims.label(claim);
    const name = `${label}.${SERVICE_DOMAIN}`;
    if (!name.includes(filter)) continue;
    names.set(name, {
      name,
      kind: zone.claims.isService(claim) ? "service" : "instance",
      means: describeClaim(zone, claim),
      records: listRecords(zone, claim),
      shadowed: shadowsOf(zone, claim, zone.claims.of(label).slice(1)),
    });
  }
  return [...names.values()].sort((a, b) => compareText(a.name, b.name));
}

/** What a claim means, for people. */
export function describeClaim(zone: Zone, claim: number): string {
  const { project, service, instance } = zone.claims.parts(claim);
  const what = `service ${service} of project ${project}`;
  return instance === null ? what : `instance ${instance} of ${what}`;
}

/** Why one claim goes before another on the same label, for people. */
export function whyShadowed(isWinnerService: boolean, isLoserService: boolean): string {
  if (isWinnerService && !isLoserService) return "a service goes before an instance";
  return `of two ${isWinnerService ? "services" : "instances"} with one name, the one whose project and service sort first has it`;
}

/** What else spells the name of a claim. */
export function shadowsOf(zone: Zone, claim: number, losers: readonly number[]): Shadow[] {
  return losers.map((loser) => ({
    means: describeClaim(zone, loser),
    why: whyShadowed(zone.claims.isService(claim), zone.claims.isService(loser)),
  }));
}

function listRecords(zone: Zone, claim: number): ListedRecord[] {
  const records: ListedRecord[] = [];
  for (let row = zone.claims.firstRow(claim); row !== NONE; row = zone.claims.nextRow(claim, row)) {
    const { address, containerId, state } = zone.rows.facts(row);
    const owner = zone.ownerOf(row);
    const omission = zone.omission(row);
    records.push({
      address: address < 0 ? null : ipv4FromNumber(address),
      server: owner.member?.name ?? owner.id,
      containerId,
      state,
      answered: omission === undefined,
      ...(omission !== undefined && { why: whyLeftOut(zone, row, omission) }),
    });
  }
  return records.sort((a, b) => compareText(a.server, b.server) || compareText(a.containerId, b.containerId));
}

/** Why a row is left out of answers, for people. */
export function whyLeftOut(zone: Zone, row: number, omission: Omission): string {
  switch (omission) {
    case "older": {
      const { rows } = zone;
      const owner = zone.ownerOf(row);
      const news = owner.news.get(rows.n(row))?.row;
      const isNews = news === row;
      const newer = isNews ? owner.rows.get(rows.n(row)) : news;
      const who = isNews ? "the store has" : "its owner has told of";
      return `${who} a newer one (rev ${rows.rev(newer ?? row)})`;
    }
    case "stranger":
      return "its owner is no member of the mesh";
    case "address of another":
      return "its address is none of its owner's containers', so it does not count";
    case "not healthy":
      return `it is ${zone.rows.facts(row).state}`;
    case "no address":
      return "it has no address";
    case "hidden":
      return zone.ownerOf(row).id === zone.self
        ? "this server's agent has not compared its containers with the store since the boot"
        : "its server cannot be reached from here";
    case "port closed":
      return "it does not expose that port";
    case "no name":
      return "others have its names, so no answer can point to it";
    case "too many":
      return "the answer has as many places as it may";
  }
}
