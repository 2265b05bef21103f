import { ipv4ToNumber, parseIpv4 } from "../../model/address.ts";
import { CONTAINER_STATES, parseContainerRecord, type ContainerState } from "../../model/container-record.ts";
import { grown, Numbering } from "./columns.ts";
import { TextPool } from "./text-pool.ts";

/** One container as its owner describes it. */
export interface ContainerFacts {
  readonly rev: number;
  readonly project: string;
  readonly service: string;
  readonly instance: string | null;
  /** as a number; -1: it has none */
  readonly address: number;
  readonly state: ContainerState;
  /** 64 hex digits */
  readonly containerId: string;
  /** `port/protocol`, separated by blanks */
  readonly ports: string;
  /** as it was named to the engine; empty: unknown */
  readonly image: string;
}

/** Reads a row's record; undefined when it is empty, half-filled or malformed, for then the row is not there. */
export function readFacts(record: string): ContainerFacts | undefined {
  const parsed = parseContainerRecord(record);
  if (parsed === undefined) return undefined;
  const { project, service, instance, address, state, containerId, ports, meta, rev } = parsed;
  const checked = address === null ? undefined : parseIpv4(address);
  return {
    rev,
    project,
    service,
    instance,
    address: checked === undefined ? -1 : ipv4ToNumber(checked),
    state,
    containerId,
    ports: ports.map(({ port, protocol }) => `${port}/${protocol}`).join(" "),
    image: meta["image"] ?? "",
  };
}

const ID_BYTES = 32;

const HEALTHY = CONTAINER_STATES.indexOf("healthy");

/** `instance` of a row without one. */
export const NO_TEXT = -1;

/**
 * Rows of containers, by number, in columns. Tens of thousands of them take a few megabytes, which the garbage collector
 * does not walk through.
 */
export class ContainerRows {
  readonly texts = new TextPool();
  readonly #numbers = new Numbering();
  #owner = new Uint16Array(64);
  #n = new Float64Array(64);
  #rev = new Float64Array(64);
  #address = new Float64Array(64);
  #state = new Uint8Array(64);
  #project = new Int32Array(64);
  #service = new Int32Array(64);
  #instance = new Int32Array(64);
  #ports = new Int32Array(64);
  #image = new Int32Array(64);
  #containerId = Buffer.alloc(64 * ID_BYTES);
  /** the row that was added last */
  #last = 0;

  /** All rows' numbers are below this. */
  get end(): number {
    return this.#numbers.end;
  }

  /** Keeps a row; gives its number. */
  add(owner: number, n: number, facts: ContainerFacts): number {
    const row = this.#numbers.take();
    if (row >= this.#owner.length) this.#grow();
    const { texts } = this;
    this.#owner[row] = owner;
    this.#n[row] = n;
    this.#rev[row] = facts.rev;
    this.#address[row] = facts.address;
    this.#state[row] = CONTAINER_STATES.indexOf(facts.state);
    // Rows of one owner, and so of one service, come one after another.
    const last = this.#last;
    this.#project[row] = texts.hold(facts.project, this.#project[last]);
    this.#service[row] = texts.hold(facts.service, this.#service[last]);
    this.#instance[row] = facts.instance === null ? NO_TEXT : texts.hold(facts.instance);
    this.#ports[row] = texts.hold(facts.ports, this.#ports[last]);
    this.#image[row] = texts.hold(facts.image, this.#image[last]);
    this.#last = row;
    this.#containerId.write(facts.containerId, row * ID_BYTES, ID_BYTES, "hex");
    return row;
  }

  /** Forgets a row; its number is given to another one. */
  remove(row: number): void {
    const { texts } = this;
    texts.release(this.project(row));
    texts.release(this.service(row));
    if (this.instance(row) !== NO_TEXT) texts.release(this.instance(row));
    texts.release(this.#ports[row] ?? 0);
    texts.release(this.#image[row] ?? 0);
    this.#numbers.giveBack(row);
  }

  owner(row: number): number {
    return this.#owner[row] ?? 0;
  }

  n(row: number): number {
    return this.#n[row] ?? 0;
  }

  rev(row: number): number {
    return this.#rev[row] ?? 0;
  }

  /** -1: it has none */
  address(row: number): number {
    return this.#address[row] ?? -1;
  }

  isHealthy(row: number): boolean {
    return this.#state[row] === HEALTHY;
  }

  /** A number of the text pool, as the next two. */
  project(row: number): number {
    return this.#project[row] ?? 0;
  }

  service(row: number): number {
    return this.#service[row] ?? 0;
  }

  /** {@link NO_TEXT}: it has none */
  instance(row: number): number {
    return this.#instance[row] ?? NO_TEXT;
  }

  /** The row as it was added. */
  facts(row: number): ContainerFacts {
    const { texts } = this;
    const instance = this.instance(row);
    const id = this.#containerId.subarray(row * ID_BYTES, (row + 1) * ID_BYTES);
    return {
      rev: this.rev(row),
      project: texts.text(this.project(row)),
      service: texts.text(this.service(row)),
      instance: instance === NO_TEXT ? null : texts.text(instance),
      address: this.address(row),
      state: CONTAINER_STATES[this.#state[row] ?? 0] ?? "stopped",
      containerId: id.toString("hex"),
      ports: texts.text(this.#ports[row] ?? 0),
      image: texts.text(this.#image[row] ?? 0),
    };
  }

  /** Whether the row says exactly this. */
  isSame(row: number, facts: ContainerFacts): boolean {
    if (this.rev(row) !== facts.rev || this.address(row) !== facts.address) return false;
    const known = this.facts(row);
    return (Object.keys(known) as (keyof ContainerFacts)[]).every((key) => known[key] === facts[key]);
  }

  #grow(): void {
    const length = this.#owner.length * 2;
    this.#owner = grown(this.#owner, length);
    this.#n = grown(this.#n, length);
    this.#rev = grown(this.#rev, length);
    this.#address = grown(this.#address, length);
    this.#state = grown(this.#state, length);
    this.#project = grown(this.#project, length);
    this.#service = grown(this.#service, length);
    this.#instance = grown(this.#instance, length);
    this.#ports = grown(this.#ports, length);
    this.#image = grown(this.#image, length);
    const ids = Buffer.alloc(length * ID_BYTES);
    ids.set(this.#containerId);
    this.#containerId = ids;
  }
}
