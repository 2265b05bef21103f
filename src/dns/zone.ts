import { ipv4FromNumber } from "../model/address.ts";
import { capacity, cidrParts, isContainerAddress, type ClusterCidr, type SubnetNumber } from "../model/cluster.ts";
import {
  instanceLabelOf,
  isSameRow,
  newerRow,
  readContainerRow,
  serviceLabelOf,
  TextPool,
  type ContainerRow,
  type Owner,
} from "./container-row.ts";
import { NameClaims, type Claim } from "./name-claims.ts";

/** A member of the mesh: the pinned number is what its rows are judged by. */
export interface ZoneServer {
  readonly id: string;
  readonly name: string;
  readonly subnet: number;
}

export interface ZoneOptions {
  readonly cluster: ClusterCidr;
  /** this server's containers come first */
  readonly localFirst: boolean;
  readonly nowMs: () => number;
}

/** What a label is answered with: `own` of the addresses, the first ones, are this server's containers'. */
export interface LabelAnswer {
  readonly addresses: readonly number[];
  readonly own: number;
}

/** News that the store has not caught up with is forgotten after this long. */
const NEWS_MS = 30_000;

/** A rev further ahead of this server's clock orders nothing, so that nobody can outbid the store for ever. */
const MAX_REV_AHEAD_MS = 86_400_000;

/** Names and addresses whose answers may have changed since they were taken last. */
export class Changes {
  /** below `jiji` */
  readonly labels = new Set<string>();
  /** addresses, counted from the cluster's first */
  readonly addresses = new Set<number>();
  /** whether the servers' own names are among them */
  servers = false;

  get isEmpty(): boolean {
    return this.labels.size === 0 && this.addresses.size === 0 && !this.servers;
  }
}

/**
 * What is known of containers and servers, and what follows from it for names. It is a function of its inputs (rows of
 * the store, news, members, reachability), kept up to date step by step, and says which names each step touched. It
 * does no I/O.
 */
export class Zone {
  readonly cluster: ClusterCidr;
  readonly claims = new NameClaims();
  readonly #nowMs: () => number;
  #localFirst: boolean;
  readonly #first: number;
  readonly #owners = new Map<string, Owner>();
  readonly pool = new TextPool();
  /** rows that have an address, counted from the cluster's first; a lone one stands for itself */
  readonly #byAddress = new Map<number, ContainerRow | ContainerRow[]>();
  #self: string | undefined;
  #servers: readonly ZoneServer[] = [];
  #changes = new Changes();
  #rowCount = 0;

  constructor(options: ZoneOptions) {
    this.#nowMs = options.nowMs;
    this.#localFirst = options.localFirst;
    this.cluster = options.cluster;
    this.#first = cidrParts(options.cluster).first;
  }

  get self(): string | undefined {
    return this.#self;
  }

  /** Members in order of their numbers. */
  get servers(): readonly ZoneServer[] {
    return this.#servers;
  }

  /** Rows that count, whatever their state. */
  get rowCount(): number {
    return this.#rowCount;
  }

  owners(): IterableIterator<Owner> {
    return this.#owners.values();
  }

  /** What has changed since the last call. */
  takeChanges(): Changes {
    const changes = this.#changes;
    this.#changes = new Changes();
    return changes;
  }

  get hasChanges(): boolean {
    return !this.#changes.isEmpty;
  }

  /** Who this server is; undefined: unknown. */
  setSelf(self: string | undefined): void {
    if (self === this.#self) return;
    const before = this.#self;
    this.#self = self;
    for (const id of [before, self]) this.#touchOwner(id === undefined ? undefined : this.#owners.get(id));
  }

  /** Whether this server's containers come first; counts for a table that is written afterwards. */
  setLocalFirst(localFirst: boolean): void {
    this.#localFirst = localFirst;
  }

  /** All members. A row whose owner is none of them does not count. */
  setServers(servers: readonly ZoneServer[]): void {
    const byId = new Map(
      servers
        .filter(({ subnet }) => subnet >= 0 && subnet < capacity(this.cluster))
        .map((server) => [server.id, server]),
    );
    const sorted = [...byId.values()].sort((a, b) => a.subnet - b.subnet || (a.id < b.id ? -1 : 1));
    if (JSON.stringify(sorted) === JSON.stringify(this.#servers)) return;
    for (const { subnet } of [...this.#servers, ...sorted]) this.#changes.addresses.add(subnet * 256 + 1);
    this.#servers = sorted;
    this.#changes.servers = true;
    for (const id of byId.keys()) this.#owner(id);
    for (const owner of this.#owners.values()) {
      const server = byId.get(owner.id);
      if (server?.subnet === owner.member?.subnet) {
        owner.member = server;
        continue;
      }
      const places = placesOf(owner);
      for (const n of places) this.#unregister(this.#counting(owner, n));
      owner.member = server;
      for (const n of places) this.#register(this.#counting(owner, n));
    }
  }

  /** Servers whose containers are not answered from here. */
  setHidden(hidden: ReadonlySet<string>): void {
    for (const id of hidden) this.#owner(id);
    for (const owner of this.#owners.values()) {
      if (owner.isHidden === hidden.has(owner.id)) continue;
      owner.isHidden = !owner.isHidden;
      this.#touchOwner(owner);
    }
  }

  /** The store's record of a place; empty or unreadable, there is no row. Gives the place. */
  setRecord(serverId: string, n: number, record: string): Pick<ContainerRow, "owner" | "n"> {
    const row = this.readRow(serverId, n, record);
    const place = row ?? this.placeOf(serverId, n);
    this.setRow(place.owner, n, row);
    return place;
  }

  /** A place, whether there is a row or not. */
  placeOf(serverId: string, n: number): Pick<ContainerRow, "owner" | "n"> {
    return { owner: this.#owner(serverId), n };
  }

  /** The store's row of a place, as {@link readRow} made it. */
  setRow(owner: Owner, n: number, row: ContainerRow | undefined): void {
    if (owner.rows.get(n) === row) return;
    this.#change(owner, n, () => {
      if (row === undefined) owner.rows.delete(n);
      else owner.rows.set(n, row);
      const news = owner.news.get(n);
      if (news !== undefined && row !== undefined && row.rev >= news.row.rev) owner.news.delete(n);
    });
  }

  /** Reads a record for {@link setRow} without taking it in; a row that says what is known already is that one. */
  readRow(serverId: string, n: number, record: string): ContainerRow | undefined {
    const owner = this.#owner(serverId);
    const row = readContainerRow(owner, n, record, this.pool);
    const before = owner.rows.get(n);
    return row !== undefined && before !== undefined && isSameRow(before, row) ? before : row;
  }

  /** A record that came ahead of the store. */
  addNews(serverId: string, n: number, record: string): void {
    const owner = this.#owner(serverId);
    const row = readContainerRow(owner, n, record, this.pool);
    if (row === undefined) return;
    const known = Math.max(owner.rows.get(n)?.rev ?? -1, owner.news.get(n)?.row.rev ?? -1);
    const nowMs = this.#nowMs();
    if (row.rev <= known || row.rev > nowMs + MAX_REV_AHEAD_MS) return;
    this.#change(owner, n, () => owner.news.set(n, { row, untilMs: nowMs + NEWS_MS }));
  }

  /** Forgets news whose time is up. To be called every few seconds. */
  dropOldNews(): void {
    const nowMs = this.#nowMs();
    for (const owner of this.#owners.values()) {
      for (const [n, news] of owner.news) {
        if (news.untilMs <= nowMs) this.#change(owner, n, () => owner.news.delete(n));
      }
    }
  }

  /** Addresses that have a name, counted from the cluster's first. */
  *addresses(): IterableIterator<number> {
    for (const { subnet } of this.#servers) yield subnet * 256 + 1;
    yield* this.#byAddress.keys();
  }

  /** What the label is answered with; undefined: the name is not there. */
  answer(label: string): LabelAnswer | undefined {
    const claim = this.claims.winner(label);
    return claim === undefined ? undefined : this.#answerOf(claim);
  }

  /** Whether the row's container is answered now, as far as the row itself says. */
  isAnswered(row: ContainerRow): boolean {
    return row.state === "healthy" && row.address >= 0 && !row.owner.isHidden;
  }

  /** The name below `jiji` that PTR gives for an address, counted from the cluster's first. */
  nameOfAddress(distance: number): string | undefined {
    const server = distance % 256 === 1 ? this.#servers.find(({ subnet }) => subnet === distance >>> 8) : undefined;
    if (server !== undefined) return `${server.name}.server`;
    const [first, ...rest] = listOf(this.#byAddress.get(distance));
    if (first === undefined) return undefined;
    const row = rest.reduce((a, b) => (b.rev > a.rev ? b : a), first);
    const isWinner = (label: string, instance: string | undefined): boolean => {
      const claim = this.claims.winner(label);
      return claim?.project === row.project && claim.service === row.service && claim.instance === instance;
    };
    const own = instanceLabelOf(row);
    if (own !== undefined && isWinner(own, row.instance)) return own;
    const service = serviceLabelOf(row);
    return service !== undefined && isWinner(service, undefined) ? service : undefined;
  }

  #answerOf(claim: Claim): LabelAnswer {
    const own: number[] = [];
    const others: number[] = [];
    for (const row of claim.rows) {
      if (!this.isAnswered(row)) continue;
      const list = this.#localFirst && row.owner.id === this.#self ? own : others;
      list.push(row.address);
    }
    if (own.length + others.length > 1) {
      sortUnique(own);
      sortUnique(others);
    }
    return { addresses: own.length === 0 ? others : own.concat(others), own: own.length };
  }

  #owner(id: string): Owner {
    const known = this.#owners.get(id);
    if (known !== undefined) return known;
    const owner: Owner = { id, member: undefined, isHidden: false, rows: new Map(), news: new Map() };
    this.#owners.set(id, owner);
    return owner;
  }

  /** Changes what is known of a place, and has the names follow. */
  #change(owner: Owner, n: number, mutate: () => unknown): void {
    const before = this.#counting(owner, n);
    mutate();
    const after = this.#counting(owner, n);
    if (before === after) return;
    this.#unregister(before);
    this.#register(after);
  }

  /** The place's row, if it counts: its owner is a member and its address one of the owner's containers'. */
  #counting(owner: Owner, n: number): ContainerRow | undefined {
    const { member } = owner;
    const row = newerRow(owner.rows.get(n), owner.news.get(n));
    if (member === undefined || row === undefined || row.address < 0) return member === undefined ? undefined : row;
    const address = ipv4FromNumber(row.address);
    return isContainerAddress(this.cluster, member.subnet as SubnetNumber, address) ? row : undefined;
  }

  #register(row: ContainerRow | undefined): void {
    if (row === undefined) return;
    this.#rowCount++;
    for (const [label, instance] of labelsOf(row)) {
      this.claims.add(label, row, instance);
      this.#touchLabel(label);
    }
    if (row.address < 0) return;
    const distance = row.address - this.#first;
    const rows = this.#byAddress.get(distance);
    this.#byAddress.set(distance, rows === undefined ? row : [...listOf(rows), row]);
    this.#changes.addresses.add(distance);
  }

  #unregister(row: ContainerRow | undefined): void {
    if (row === undefined) return;
    this.#rowCount--;
    for (const [label, instance] of labelsOf(row)) {
      this.#touchLabel(label);
      this.claims.remove(label, row, instance);
    }
    if (row.address < 0) return;
    const distance = row.address - this.#first;
    const left = listOf(this.#byAddress.get(distance)).filter((other) => other !== row);
    const [first] = left;
    if (first === undefined) this.#byAddress.delete(distance);
    else this.#byAddress.set(distance, left.length === 1 ? first : left);
    this.#changes.addresses.add(distance);
  }

  /** The label's answer may differ; when several mean something by it, so may the names of all their addresses. */
  #touchLabel(label: string): void {
    this.#changes.labels.add(label);
    const claims = this.claims.of(label);
    if (claims.length < 2) return;
    for (const { rows } of claims) {
      for (const { address } of rows) if (address >= 0) this.#changes.addresses.add(address - this.#first);
    }
  }

  #touchOwner(owner: Owner | undefined): void {
    if (owner === undefined) return;
    for (const n of placesOf(owner)) {
      const row = this.#counting(owner, n);
      if (row !== undefined) for (const [label] of labelsOf(row)) this.#changes.labels.add(label);
    }
  }
}

function placesOf(owner: Owner): ReadonlySet<number> {
  return new Set([...owner.rows.keys(), ...owner.news.keys()]);
}

/** The labels that a row publishes, each with the instance that it means. */
function labelsOf(row: ContainerRow): (readonly [label: string, instance: string | undefined])[] {
  const labels: (readonly [string, string | undefined])[] = [];
  const service = serviceLabelOf(row);
  if (service !== undefined) labels.push([service, undefined]);
  const instance = instanceLabelOf(row);
  if (instance !== undefined) labels.push([instance, row.instance]);
  return labels;
}

function listOf<T>(loneOrMany: T | T[] | undefined): readonly T[] {
  return loneOrMany === undefined ? [] : Array.isArray(loneOrMany) ? loneOrMany : [loneOrMany];
}

function sortUnique(numbers: number[]): void {
  numbers.sort((a, b) => a - b);
  let kept = 0;
  for (const number of numbers) {
    if (kept === 0 || numbers[kept - 1] !== number) numbers[kept++] = number;
  }
  numbers.length = kept;
}
