import { ipv4ToNumber } from "../model/address.ts";
import { parseContainerRecord, type ContainerState } from "../model/container-record.ts";

/** A server as the zone knows it: a member with its pinned number, or a stranger whose rows do not count (yet). */
export interface Owner {
  readonly id: string;
  /** undefined while it is no member */
  member: { readonly name: string; readonly subnet: number } | undefined;
  /** its containers are not answered from here just now */
  isHidden: boolean;
  readonly rows: Map<number, ContainerRow>;
  /** records that came ahead of the store */
  readonly news: Map<number, News>;
}

export interface News {
  readonly row: ContainerRow;
  readonly untilMs: number;
}

/** One container as its owner describes it; small, for there may be tens of thousands. */
export interface ContainerRow {
  readonly owner: Owner;
  readonly n: number;
  readonly rev: number;
  readonly project: string;
  readonly service: string;
  readonly instance: string | undefined;
  /** as a number; -1: it has none */
  readonly address: number;
  readonly state: ContainerState;
  readonly containerId: string;
  /** `port/protocol`, separated by blanks */
  readonly ports: string;
  /** JSON of the published facts */
  readonly meta: string;
}

/** Texts that many rows share are kept once. */
export class TextPool {
  #texts = new Map<string, string>();

  share(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    this.#texts.set(text, text);
    return text;
  }

  clear(): void {
    this.#texts = new Map();
  }
}

/** Reads a row's record; undefined when it does not parse, for then it is not there. */
export function readContainerRow(owner: Owner, n: number, record: string, pool: TextPool): ContainerRow | undefined {
  const parsed = parseContainerRecord(record);
  if (parsed === undefined) return undefined;
  const { project, service, instance, address, state, containerId, ports, meta, rev } = parsed;
  return {
    owner,
    n,
    rev,
    project: pool.share(project),
    service: pool.share(service),
    instance: instance === null ? undefined : pool.share(instance),
    address: address === null ? -1 : ipv4ToNumber(address),
    state,
    containerId,
    ports: pool.share(ports.map(({ port, protocol }) => `${port}/${protocol}`).join(" ")),
    meta: pool.share(JSON.stringify(meta)),
  };
}

/** Whether two rows of one place say the same. */
export function isSameRow(a: ContainerRow, b: ContainerRow): boolean {
  return (
    a.rev === b.rev &&
    a.project === b.project &&
    a.service === b.service &&
    a.instance === b.instance &&
    a.address === b.address &&
    a.state === b.state &&
    a.containerId === b.containerId &&
    a.ports === b.ports &&
    a.meta === b.meta
  );
}

/** The row that counts of what the store and the news say: the larger rev. */
export function newerRow(stored: ContainerRow | undefined, news: News | undefined): ContainerRow | undefined {
  if (news === undefined) return stored;
  return stored === undefined || news.row.rev > stored.rev ? news.row : stored;
}

const MAX_LABEL_CHARS = 63;

/** `{project}-{service}`; undefined when it is too long for a label, for then it is not published. */
export function serviceLabelOf(row: ContainerRow): string | undefined {
  const label = `${row.project}-${row.service}`;
  return label.length <= MAX_LABEL_CHARS ? label : undefined;
}

/** `{project}-{service}-{instance}`; undefined when it has no instance or is too long for a label. */
export function instanceLabelOf(row: ContainerRow): string | undefined {
  if (row.instance === undefined) return undefined;
  const label = `${row.project}-${row.service}-${row.instance}`;
  return label.length <= MAX_LABEL_CHARS ? label : undefined;
}
