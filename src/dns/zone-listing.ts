import { ipv4FromNumber } from "../model/address.ts";
import { SERVICE_DOMAIN } from "../model/names.ts";
import type { ContainerRow } from "./container-row.ts";
import type { Claim } from "./name-claims.ts";
import type { Zone } from "./zone.ts";

/** One container behind a name. */
export interface ListedRecord {
  readonly address: string | null;
  /** the name of the server that owns it; its id when the name is not known */
  readonly server: string;
  readonly serverId: string;
  readonly containerId: string;
  readonly state: string;
  /** whether the address is in the answer now */
  readonly answered: boolean;
  /** why it is not; absent when answered */
  readonly why?: string;
}

/** A published name. */
export interface ListedName {
  /** without the final dot */
  readonly name: string;
  readonly kind: "service" | "instance";
  readonly project: string;
  readonly service: string;
  readonly records: readonly ListedRecord[];
  /** what else spells this name and is therefore not published under it */
  readonly shadowed: readonly string[];
}

/** Every published name that contains `filter`, in order, with what is behind it. */
export function listNames(zone: Zone, filter: string): readonly ListedName[] {
  const labels = [...zone.claims.labels()].filter((label) => `${label}.${SERVICE_DOMAIN}`.includes(filter)).sort();
  return labels.flatMap((label) => {
    const [winner, ...losers] = zone.claims.of(label);
    if (winner === undefined) return [];
    return {
      name: `${label}.${SERVICE_DOMAIN}`,
      kind: winner.instance === undefined ? ("service" as const) : ("instance" as const),
      project: winner.project,
      service: winner.service,
      records: winner.rows
        .map((row) => listRecord(zone, row))
        .sort((a, b) => compareText(a.server, b.server) || compareText(a.containerId, b.containerId)),
      shadowed: losers.map(describeClaim),
    };
  });
}

/** What a claim means, for people. */
export function describeClaim({ project, service, instance }: Claim): string {
  const what = `service ${service} of project ${project}`;
  return instance === undefined ? what : `instance ${instance} of ${what}`;
}

function listRecord(zone: Zone, row: ContainerRow): ListedRecord {
  const why = whyNotAnswered(row);
  return {
    address: row.address < 0 ? null : ipv4FromNumber(row.address),
    server: row.owner.member?.name ?? row.owner.id,
    serverId: row.owner.id,
    containerId: row.containerId,
    state: row.state,
    answered: zone.isAnswered(row),
    ...(why !== undefined && { why }),
  };
}

/** Why a container is not in the answers, for people; undefined when it is. */
export function whyNotAnswered(row: ContainerRow): string | undefined {
  if (row.state !== "healthy") return `it is ${row.state}`;
  if (row.address < 0) return "it has no address";
  return row.owner.isHidden ? "its server cannot be reached from here" : undefined;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
