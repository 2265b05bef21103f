import { ipv4ToNumber } from "../../model/address.ts";
import { capacity, serverAddress, type SubnetNumber } from "../../model/cluster.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import { allocateTable, RECORD, recordBytes, type TableReader } from "./table.ts";
import { TableWriter } from "./table-writer.ts";
import { encodeName } from "../wire/wire.ts";
import { Changes } from "./changes.ts";
import { NONE } from "./name-claims.ts";
import type { Zone } from "./zone.ts";

export interface ZoneTableOptions {
  readonly zone: Zone;
  /** the process's seed for hashes of names */
  readonly seed: number;
  readonly ttlSeconds: () => number;
  readonly nowMs: () => number;
  /** Called with each new table, whole; from then on questions are answered from it. */
  readonly onTable: (buffer: SharedArrayBuffer) => void;
  /** Lets others run; a table is written in slices between calls of it. */
  readonly pause: () => Promise<void>;
}

/**
 * How long "no such name" and "nothing there now" may be kept. It is short, since a container that starts must be found soon,
 * and long enough to slow down a tight loop.
 */
export const NEGATIVE_TTL_SECONDS = 5;

/** Names written between two pauses; takes about a millisecond. */
const SLICE_NAMES = 1000;

/** Room for changes beyond what a new table begins with. */
const SPARE_BYTES = 512 * 1024;
const SPARE_NAMES = 512;

/** A usual name's length; longer ones come out of the spare room. */
const NAME_BYTES = 32;

const APEX_NAME = nameOf("");
const NS_NAME = nameOf("ns");
const SERVERS_NAME = nameOf("server");

/** A table, and what cannot be read from it. */
interface Written {
  readonly writer: TableWriter;
  /** names of servers in it */
  serverNames: readonly string[];
}

/** Keeps the table that questions are answered from in step with the zone. */
export class ZoneTable {
  readonly #options: ZoneTableOptions;
  #table: Written | undefined;
  #serial = 0;
  #building: Promise<void> | undefined;
  /** what changed while a new table was being written */
  #missed: Changes | undefined;
  /** how many tables were written so far */
  tables = 0;

  constructor(options: ZoneTableOptions) {
    this.#options = options;
  }

  get zone(): Zone {
    return this.#options.zone;
  }

  get ttlSeconds(): number {
    return this.#options.ttlSeconds();
  }

  get seed(): number {
    return this.#options.seed;
  }

  /** What questions are answered from; undefined until the first {@link rebuild}. */
  get reader(): TableReader | undefined {
    return this.#table?.writer;
  }

  /** Resolves when the table says what the zone says. */
  async inStep(): Promise<void> {
    do {
      await this.zone.settled();
      await this.#building;
      this.flush();
    } while (this.#building !== undefined || this.zone.turning !== undefined);
  }

  /** Octets of records in the table. */
  get usedBytes(): number {
    return this.#table?.writer.usedBytes ?? 0;
  }

  /** Takes over what has changed in the zone since the last call; nothing before the first {@link rebuild}. */
  flush(): void {
    const table = this.#table;
    const { zone } = this.#options;
    // A row that a snapshot has removed may come back elsewhere; a whole new table follows at its end.
    if (table === undefined || zone.turning !== undefined || !zone.hasChanges) return;
    const changes = zone.takeChanges();
    this.#missed?.merge(changes);
    if (changes.everything) {
      if (this.#missed === undefined) void this.rebuild();
      return;
    }
    const isWritten = this.#apply(table, changes);
    this.#serial = Math.max(this.#serial + 1, Math.floor(this.#options.nowMs() / 1000));
    table.writer.setSerial(this.#serial);
    if ((!isWritten || table.writer.isNearlyFull) && this.#building === undefined) void this.rebuild();
  }

  /** Writes a new table from the whole zone, which replaces the last one. A call meanwhile has another one follow. */
  async rebuild(): Promise<void> {
    while (this.#building !== undefined) await this.#building;
    this.#building = this.#build().finally(() => (this.#building = undefined));
    await this.#building;
  }

  async #build(): Promise<void> {
    const { onTable } = this.#options;
    for (let spare = 1; ;) {
      await this.#options.zone.settled();
      this.#options.zone.takeChanges();
      this.#missed = new Changes();
      const table = await this.#writeWhole(spare);
      if (table === "full") spare *= 2;
      if (typeof table === "string") continue;
      this.#missed = undefined;
      this.#serial = Math.max(this.#serial + 1, Math.floor(this.#options.nowMs() / 1000));
      table.writer.setSerial(this.#serial);
      this.#table = table;
      this.tables++;
      onTable(table.writer.buffer);
      return;
    }
  }

  /** "full" when the zone has outgrown the table meanwhile, "stale" when too much of it has changed. */
  async #writeWhole(spare: number): Promise<Written | "full" | "stale"> {
    const { zone, seed, ttlSeconds, pause } = this.#options;
    let bytes = SPARE_BYTES * spare;
    for (const claim of zone.claims.winners()) bytes += 2 * recordBytes(NAME_BYTES, zone.claims.rowCount(claim));
    const buffer = allocateTable({
      names: (zone.claims.labelCount + zone.servers.length + SPARE_NAMES) * spare,
      arenaBytes: bytes,
      ttlSeconds: ttlSeconds(),
      negativeTtlSeconds: NEGATIVE_TTL_SECONDS,
      reverseAddresses: capacity(zone.cluster) * 256,
    });
    const writer = new TableWriter(buffer, seed);
    const table: Written = { writer, serverNames: [] };
    let isWritten = writer.put(APEX_NAME, RECORD.APEX, [], 0) && this.#putServers(table);
    let names = 0;
    // Where each claim's record is, so that its name need not be looked up again for each address.
    const records = new Int32Array(zone.claims.end);
    for (const claim of zone.claims.winners()) {
      isWritten = this.#putClaim(writer, claim) && isWritten;
      if (claim < records.length) records[claim] = writer.lastRecord;
      if (++names % SLICE_NAMES === 0) await pause();
    }
    for (const distance of zone.addresses()) {
      const record = distance % 256 === 1 ? 0 : (records[zone.claimOfAddress(distance)] ?? 0);
      if (record === 0) writer.setReverse(distance, this.#reverseName(distance));
      else writer.setReverseRecord(distance, record);
      if (++names % SLICE_NAMES === 0) await pause();
    }
    await zone.settled();
    // What changed during the pauses is written again, in one go.
    const missed = this.#missed ?? new Changes();
    missed.merge(zone.takeChanges());
    if (missed.everything) return "stale";
    return this.#apply(table, missed) && isWritten ? table : "full";
  }

  #apply(table: Written, changes: Changes): boolean {
    const { writer } = table;
    let isWritten = true;
    if (changes.servers) isWritten = this.#putServers(table);
    for (const label of changes.labels) isWritten = this.#putLabel(writer, label) && isWritten;
    for (const distance of changes.addresses) writer.setReverse(distance, this.#reverseName(distance));
    return isWritten;
  }

  #putLabel(writer: TableWriter, label: string): boolean {
    const claim = this.#options.zone.claims.winner(label);
    return claim === NONE ? writer.remove(nameOf(label)) : this.#putClaim(writer, claim);
  }

  #putClaim(writer: TableWriter, claim: number): boolean {
    const { zone } = this.#options;
    const { addresses, own } = zone.answer(claim);
    return writer.put(nameOfLabel(zone.claims.label(claim)), RECORD.NAME, addresses, own);
  }

  /** Puts the names of the servers and of this one, and removes those of former members. */
  #putServers(table: Written): boolean {
    const { writer } = table;
    const { zone } = this.#options;
    const addresses = new Map<string, number>();
    for (const { name, subnet } of zone.servers) {
      // Two servers never have one name; should a broken store say so, the lower number keeps it.
      const address = ipv4ToNumber(serverAddress(zone.cluster, subnet as SubnetNumber));
      if (!addresses.has(name)) addresses.set(name, address);
    }
    let isWritten = true;
    for (const name of table.serverNames) {
      if (!addresses.has(name)) isWritten = writer.remove(nameOf(`${name}.server`)) && isWritten;
    }
    for (const [name, address] of addresses) {
      isWritten = writer.put(nameOf(`${name}.server`), RECORD.HOST, [address], 0) && isWritten;
    }
    table.serverNames = [...addresses.keys()];
    const own = zone.servers.find(({ id }) => id === zone.self);
    const ownAddress = own === undefined ? undefined : addresses.get(own.name);
    isWritten = writer.put(NS_NAME, RECORD.HOST, ownAddress === undefined ? [] : [ownAddress], 0) && isWritten;
    if (addresses.size === 0) return writer.remove(SERVERS_NAME) && isWritten;
    return writer.put(SERVERS_NAME, RECORD.EMPTY, [], 0) && isWritten;
  }

  #reverseName(distance: number): Uint8Array | undefined {
    const name = this.#options.zone.nameOfAddress(distance);
    return name === undefined ? undefined : nameOf(name);
  }
}

/** The wire form of a label below `jiji`, which was checked: letters, digits and hyphens, at most 63. */
function nameOfLabel(label: string): Uint8Array {
  const { length } = label;
  const wire = new Uint8Array(length + 1 + APEX_NAME.length);
  wire[0] = length;
  for (let i = 0; i < length; i++) wire[i + 1] = label.charCodeAt(i);
  wire.set(APEX_NAME, length + 1);
  return wire;
}

/** The wire form of a name below `jiji`; its parts are labels that were checked, so it exists. */
function nameOf(name: string): Uint8Array {
  const text = name === "" ? SERVICE_DOMAIN : `${name}.${SERVICE_DOMAIN}`;
  const wire = encodeName(text);
  if (wire === undefined) throw new TypeError(`not a name: ${text}`);
  return wire;
}
