import { capacity, cidrParts, type ClusterCidr } from "../../model/cluster.ts";
import { isUsableRev } from "../../model/revision.ts";
import { AddressIndex } from "./address-index.ts";
import { Changes } from "./changes.ts";
import { ContainerRows, type ContainerFacts } from "./container-rows.ts";
import { NameClaims, NONE } from "./name-claims.ts";
import { Owners, placesOf, type Owner, type Place } from "./owners.ts";

/** A member of the mesh. Its pinned number says which addresses its rows may have. */
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

/** The answer to a name. The first `own` addresses are of this server's containers. */
export interface NameAnswer {
  readonly addresses: readonly number[];
  readonly own: number;
}

/** Why a row's container is left out of an answer. */
export type Omission =
  /** its owner has said something newer of this place: the other row of store and news counts */
  | "older"
  /** its owner is no member */
  | "stranger"
  /** its address is none of its owner's containers' */
  | "address of another"
  | "not healthy"
  | "no address"
  /** its owner is hidden from here */
  | "hidden"
  /** the container does not expose the port that was asked for */
  | "port closed"
  /** others have both of its names, so no answer can point to it */
  | "no name"
  /** the answer has as many places as it may */
  | "too many";

/** Hears of each row that was looked at for an answer: why it is left out, or undefined for one that is in it. */
export type Recorder = (row: number, omission: Omission | undefined) => void;

/** News that the store has not caught up with is forgotten after this long. */
const NEWS_MS = 30_000;

/** Rows handled between two pauses; takes about a millisecond. */
const SLICE_ROWS = 500;

/** Keeps a broken store from filling the memory. An owner has 253 addresses, and a row without one may wait beside each. */
const MAX_ROWS_OF_OWNER = 2_048;

/**
 * What is known of containers and servers, and what follows from it for names. It is a function of its inputs (rows of
 * the store, news, members, reachability), kept up to date step by step, and says which names each step touched. It
 * does no I/O.
 */
export class Zone {
  readonly cluster: ClusterCidr;
  readonly rows = new ContainerRows();
  readonly claims = new NameClaims(this.rows);
  readonly owners = new Owners();
  readonly #byAddress: AddressIndex;
  readonly #nowMs: () => number;
  readonly #first: number;
  #localFirst: boolean;
  #self: string | undefined;
  #servers: readonly ZoneServer[] = [];
  #changes = new Changes();
  #countingRows = 0;
  /** a snapshot under way: places that it has had, and what it has to change */
  #seen = new Set<Place>();
  #awaited = new Map<Place, ContainerFacts>();
  #isApart = false;
  #turning: Promise<void> | undefined;

  constructor(options: ZoneOptions) {
    this.#nowMs = options.nowMs;
    this.#localFirst = options.localFirst;
    this.cluster = options.cluster;
    this.#first = cidrParts(options.cluster).first;
    this.#byAddress = new AddressIndex(capacity(options.cluster) * 256);
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
    return this.#countingRows;
  }

  /** While a snapshot replaces what was known, step by step, names must not be read. Resolves when that is over. */
  get turning(): Promise<void> | undefined {
    return this.#turning;
  }

  /** Resolves when names may be read. */
  async settled(): Promise<void> {
    while (this.#turning !== undefined) await this.#turning;
  }

  get hasChanges(): boolean {
    return !this.#changes.isEmpty;
  }

  /** What has changed since the last call. */
  takeChanges(): Changes {
    const changes = this.#changes;
    this.#changes = new Changes();
    return changes;
  }

  /** Whether this server's containers come first. */
  setLocalFirst(localFirst: boolean): void {
    if (localFirst === this.#localFirst) return;
    this.#localFirst = localFirst;
    this.#changes.all();
  }

  /** Who this server is; undefined: unknown. */
  setSelf(self: string | undefined): void {
    if (self === this.#self) return;
    const before = this.#self;
    this.#self = self;
    this.#changes.servers = true;
    for (const id of [before, self]) this.#touchOwner(id === undefined ? undefined : this.owners.find(id));
  }

  /** All members. A row whose owner is none of them does not count. */
  setServers(servers: readonly ZoneServer[]): void {
    const fits = servers.filter(({ subnet }) => subnet >= 0 && subnet < capacity(this.cluster));
    const byId = new Map(fits.map((server) => [server.id, server]));
    const sorted = [...byId.values()].sort((a, b) => a.subnet - b.subnet || (a.id < b.id ? -1 : 1));
    if (JSON.stringify(sorted) === JSON.stringify(this.#servers)) return;
    for (const { subnet } of [...this.#servers, ...sorted]) this.#changes.address(subnet * 256 + 1);
    this.#servers = sorted;
    this.#changes.servers = true;
    for (const id of byId.keys()) this.owners.take(id, true);
    for (const owner of this.owners.all()) {
      const server = byId.get(owner.id);
      const isMoved = server?.subnet !== owner.member?.subnet;
      const places = isMoved ? placesOf(owner) : [];
      for (const n of places) this.#unregister(this.counting(owner, n));
      owner.member = server;
      for (const n of places) this.#register(this.counting(owner, n));
    }
  }

  /** Servers whose containers are not answered from here. */
  setHidden(hidden: ReadonlySet<string>): void {
    for (const id of hidden) this.owners.take(id);
    for (const owner of this.owners.all()) {
      if (owner.isHidden === hidden.has(owner.id)) continue;
      owner.isHidden = !owner.isHidden;
      this.#touchOwner(owner);
    }
  }

  /** The store's row of a place; undefined: there is none, or none that can be read. */
  set(place: Place, given: ContainerFacts | undefined): void {
    const facts = given === undefined ? undefined : this.#withSaneRev(given);
    const owner = this.owners.ownerOf(place);
    const n = this.owners.nOf(place);
    const before = owner.rows.get(n);
    if (before === undefined && (facts === undefined || owner.rows.size >= MAX_ROWS_OF_OWNER)) return;
    if (before !== undefined && facts !== undefined && this.rows.isSame(before, facts)) return;
    const news = owner.news.get(n);
    if (before === undefined && news === undefined && facts !== undefined) {
      // The usual case is cheap: nothing counted before.
      owner.rows.set(n, this.rows.add(owner.index, n, facts));
      this.#register(this.counting(owner, n));
      return;
    }
    const isCaughtUp = news !== undefined && facts !== undefined && facts.rev >= this.rows.rev(news.row);
    this.#change(owner, n, () => {
      if (facts === undefined) owner.rows.delete(n);
      else owner.rows.set(n, this.rows.add(owner.index, n, facts));
      if (isCaughtUp) owner.news.delete(n);
    });
    if (before !== undefined) this.rows.remove(before);
    if (isCaughtUp) this.rows.remove(news.row);
  }

  /** A row that came ahead of the store. */
  addNews(place: Place, facts: ContainerFacts): void {
    const owner = this.owners.ownerOf(place);
    const n = this.owners.nOf(place);
    const stored = owner.rows.get(n);
    const before = owner.news.get(n);
    const nowMs = this.#nowMs();
    if (stored !== undefined && this.rows.rev(stored) >= facts.rev) return;
    if (before !== undefined && this.rows.rev(before.row) >= facts.rev) return;
    // Else somebody could outbid the store for ever.
    if (!isUsableRev(facts.rev, nowMs)) return;
    if (before === undefined && owner.news.size >= MAX_ROWS_OF_OWNER) return;
    const row = this.rows.add(owner.index, n, facts);
    this.#change(owner, n, () => owner.news.set(n, { row, untilMs: nowMs + NEWS_MS }));
    if (before !== undefined) this.rows.remove(before.row);
  }

  /** Forgets news whose time is up. To be called every few seconds. */
  dropOldNews(): void {
    const nowMs = this.#nowMs();
    for (const owner of this.owners.all()) {
      for (const [n, { row, untilMs }] of owner.news) {
        if (untilMs > nowMs) continue;
        this.#change(owner, n, () => owner.news.delete(n));
        this.rows.remove(row);
      }
    }
  }

  /**
   * Begins a snapshot of the store. Rows that it does not have are gone at its end. With `isApart`, what is known stays as it
   * is until then; without, nobody looks at it yet, and rows are taken in as they come.
   */
  beginSnapshot(isApart: boolean): void {
    this.#seen = new Set();
    this.#awaited = new Map();
    this.#isApart = isApart;
  }

  /** A row of the snapshot; undefined: one that cannot be read. */
  snapshotRow(place: Place, facts: ContainerFacts | undefined): void {
    if (facts === undefined) return;
    this.#seen.add(place);
    if (!this.#isApart) this.set(place, facts);
    else if (!this.#isKnown(place, facts)) this.#awaited.set(place, facts);
  }

  /** Ends the snapshot. */
  async endSnapshot(pause: () => Promise<void>): Promise<void> {
    const seen = this.#seen;
    const awaited = this.#awaited;
    this.beginSnapshot(true);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turning = promise;
    try {
      await this.#replace(seen, awaited, pause);
    } finally {
      this.#turning = undefined;
      resolve();
    }
  }

  async #replace(
    seen: ReadonlySet<Place>,
    awaited: ReadonlyMap<Place, ContainerFacts>,
    pause: () => Promise<void>,
  ): Promise<void> {
    for (const owner of this.owners.all()) {
      for (const n of [...owner.rows.keys()]) {
        const place = this.owners.place(owner.id, n);
        if (place !== undefined && !seen.has(place)) this.set(place, undefined);
      }
    }
    let count = 0;
    for (const [place, facts] of awaited) {
      this.set(place, facts);
      if (++count % SLICE_ROWS === 0) await pause();
    }
  }

  #isKnown(place: Place, facts: ContainerFacts): boolean {
    const row = this.owners.ownerOf(place).rows.get(this.owners.nOf(place));
    return row !== undefined && this.rows.isSame(row, this.#withSaneRev(facts));
  }

  /** A rev too far in the future counts as 0, so every other one is newer. */
  #withSaneRev(facts: ContainerFacts): ContainerFacts {
    return isUsableRev(facts.rev, this.#nowMs()) ? facts : { ...facts, rev: 0 };
  }

  /** Addresses that have a name, counted from the cluster's first. */
  *addresses(): IterableIterator<number> {
    for (const { subnet } of this.#servers) yield subnet * 256 + 1;
    yield* this.#byAddress.taken();
  }

  /** What a claim's name is answered with. */
  answer(claim: number, record?: Recorder): NameAnswer {
    const own: number[] = [];
    const others: number[] = [];
    for (let row = this.claims.firstRow(claim); row !== NONE; row = this.claims.nextRow(claim, row)) {
      const omission = this.omission(row);
      record?.(row, omission);
      if (omission !== undefined) continue;
      const isOwn = this.#localFirst && this.ownerOf(row).id === this.#self;
      (isOwn ? own : others).push(this.rows.address(row));
    }
    if (own.length > 1) sortUnique(own);
    if (others.length > 1) sortUnique(others);
    return { addresses: own.length === 0 ? others : own.concat(others), own: own.length };
  }

  /** Why a row that counts is left out of answers; undefined: it is in them. */
  omission(row: number): Omission | undefined {
    if (!this.rows.isHealthy(row)) return "not healthy";
    if (this.rows.address(row) < 0) return "no address";
    return this.ownerOf(row).isHidden ? "hidden" : undefined;
  }

  ownerOf(row: number): Owner {
    return this.owners.at(this.rows.owner(row));
  }

  /** The most specific name below `jiji` that leads to the row's container; undefined when others have both of its names. */
  nameOf(row: number): string | undefined {
    const claim = this.#nameClaim(row);
    return claim === NONE ? undefined : this.claims.label(claim);
  }

  #nameClaim(row: number): number {
    const instance = this.claims.instanceClaim(row);
    if (instance !== NONE && this.claims.isWinner(instance)) return instance;
    const service = this.claims.serviceClaim(row);
    return service !== NONE && this.claims.isWinner(service) ? service : NONE;
  }

  /** The name below `jiji` that PTR gives for an address, counted from the cluster's first. */
  nameOfAddress(distance: number): string | undefined {
    const server = distance % 256 === 1 ? this.#servers.find(({ subnet }) => subnet === distance >>> 8) : undefined;
    if (server !== undefined) return `${server.name}.server`;
    const claim = this.claimOfAddress(distance);
    return claim === NONE ? undefined : this.claims.label(claim);
  }

  /** The claim whose label PTR gives for an address of a container; {@link NONE} where there is none. */
  claimOfAddress(distance: number): number {
    let newest = NONE;
    for (const row of this.#byAddress.at(distance)) {
      if (newest === NONE || this.#isNewer(row, newest)) newest = row;
    }
    return newest === NONE ? NONE : this.#nameClaim(newest);
  }

  /** Of two rows with one address the later one wins; of two with one rev, the one with the lower key. */
  #isNewer(row: number, other: number): boolean {
    const ahead = this.rows.rev(row) - this.rows.rev(other);
    return ahead > 0 || (ahead === 0 && this.rows.n(row) < this.rows.n(other));
  }

  /** Changes what is known of a place, and has the names follow. */
  #change(owner: Owner, n: number, mutate: () => unknown): void {
    const before = this.counting(owner, n);
    mutate();
    const after = this.counting(owner, n);
    if (before === after) return;
    this.#unregister(before);
    this.#register(after);
  }

  /**
   * The place's row, if it counts: it is the newer of store and news, its owner is a member, and its address one of the
   * owner's containers'. {@link NONE} if it does not.
   */
  counting(owner: Owner, n: number, record?: Recorder): number {
    const { member } = owner;
    const stored = owner.rows.get(n) ?? NONE;
    const news = owner.news.get(n)?.row ?? NONE;
    const isNewsNewer = news !== NONE && (stored === NONE || this.rows.rev(news) > this.rows.rev(stored));
    const row = isNewsNewer ? news : stored;
    if (record !== undefined && news !== NONE && stored !== NONE) record(isNewsNewer ? stored : news, "older");
    if (row === NONE) return NONE;
    if (member === undefined) {
      record?.(row, "stranger");
      return NONE;
    }
    if (this.rows.address(row) < 0) return row;
    const host = this.rows.address(row) - this.#first - member.subnet * 256;
    if (host >= 2 && host <= 254) return row;
    record?.(row, "address of another");
    return NONE;
  }

  #register(row: number): void {
    if (row === NONE) return;
    this.#countingRows++;
    this.claims.add(row);
    this.#touchNames(row);
    if (this.rows.address(row) < 0) return;
    const distance = this.rows.address(row) - this.#first;
    this.#byAddress.add(distance, row);
    this.#changes.address(distance);
  }

  #unregister(row: number): void {
    if (row === NONE) return;
    this.#countingRows--;
    this.#touchNames(row);
    this.claims.remove(row);
    if (this.rows.address(row) < 0) return;
    const distance = this.rows.address(row) - this.#first;
    this.#byAddress.remove(distance, row);
    this.#changes.address(distance);
  }

  /** The answers for the names of a registered row may have changed. Where several claims share a name, so may their PTR. */
  #touchNames(row: number): void {
    if (this.#changes.everything) return;
    for (const claim of [this.claims.serviceClaim(row), this.claims.instanceClaim(row)]) {
      if (claim === NONE) continue;
      const label = this.claims.label(claim);
      this.#changes.label(label);
      const claims = this.claims.of(label);
      if (claims.length > 1) for (const one of claims) this.#touchAddresses(one);
    }
  }

  #touchAddresses(claim: number): void {
    for (let row = this.claims.firstRow(claim); row !== NONE; row = this.claims.nextRow(claim, row)) {
      if (this.rows.address(row) >= 0) this.#changes.address(this.rows.address(row) - this.#first);
    }
  }

  #touchOwner(owner: Owner | undefined): void {
    if (owner === undefined) return;
    for (const n of placesOf(owner)) {
      const row = this.counting(owner, n);
      if (row !== NONE) this.#touchNames(row);
    }
  }
}

function sortUnique(numbers: number[]): void {
  numbers.sort((a, b) => a - b);
  let kept = 0;
  for (const number of numbers) {
    if (kept === 0 || numbers[kept - 1] !== number) numbers[kept++] = number;
  }
  numbers.length = kept;
}
