import { parseContainerRecord, type ContainerRecord } from "../../src/model/container-record.ts";

/**
 * A slow, obvious answerer: what dns.md promises, worked out anew for each question from the rows as they are, without
 * index, table or wire format. Tests hold the real one to it.
 */
export interface ModelServer {
  readonly id: string;
  readonly name: string;
  readonly subnet: number;
}

/** An answer as text: each record `TYPE data`, in no particular order. */
export interface ModelAnswer {
  readonly rcode: "NOERROR" | "NXDOMAIN" | "FORWARD";
  readonly answers: readonly string[];
  readonly additionals: readonly string[];
  /** the zone whose SOA stands in the authority section; undefined: none does */
  readonly soaOf: string | undefined;
}

interface Row {
  readonly server: ModelServer;
  readonly n: number;
  readonly record: ContainerRecord;
}

interface Claim {
  readonly project: string;
  readonly service: string;
  readonly instance: string | null;
  readonly rows: readonly Row[];
}

const DAY_MS = 86_400_000;
const NEWS_MS = 30_000;

/** One TXT answer describes so many containers. */
const MAX_TEXTS = 32;

export class DnsModel {
  nowMs = 1_700_000_000_000;
  servers: readonly ModelServer[] = [];
  hidden: ReadonlySet<string> = new Set();
  self: string | undefined;
  readonly #store = new Map<string, string>();
  readonly #news = new Map<string, { readonly text: string; readonly untilMs: number }>();
  readonly #network: readonly [number, number];
  readonly #prefix: number;

  /** @param prefix of the cluster's network, 16 or 24; `network` are its first two octets */
  constructor(network: readonly [number, number], prefix: 16 | 24) {
    this.#network = network;
    this.#prefix = prefix;
  }

  /** The store has, or no longer has, this text for a row. */
  set(serverId: string, n: number, text: string | undefined): void {
    const key = `${serverId}/${n}`;
    if (text === undefined) {
      this.#store.delete(key);
      return;
    }
    this.#store.set(key, text);
    const news = this.#news.get(key);
    const record = this.#read(text);
    if (news !== undefined && record !== undefined && record.rev >= this.#read(news.text)!.rev) this.#news.delete(key);
  }

  /** An owner says it before the store does. */
  tell(serverId: string, n: number, text: string): void {
    const key = `${serverId}/${n}`;
    const record = parseContainerRecord(text);
    if (record === undefined || record.rev > this.nowMs + DAY_MS) return;
    const known = [this.#store.get(key), this.#news.get(key)?.text].map((old) => old && this.#read(old));
    if (known.some((old) => old && old.rev >= record.rev)) return;
    this.#news.set(key, { text, untilMs: this.nowMs + NEWS_MS });
  }

  /** The store's rows are exactly these. */
  snapshot(rows: readonly (readonly [serverId: string, n: number, text: string])[]): void {
    this.#store.clear();
    for (const [serverId, n, text] of rows) this.set(serverId, n, text);
  }

  forgetOldNews(): void {
    for (const [key, { untilMs }] of this.#news) if (untilMs <= this.nowMs) this.#news.delete(key);
  }

  /** A `rev` that lies too far ahead orders nothing. */
  #read(text: string): ContainerRecord | undefined {
    const record = parseContainerRecord(text);
    return record !== undefined && record.rev > this.nowMs + DAY_MS ? { ...record, rev: 0 } : record;
  }

  /** What counts: the newer of store and news, of a member, with an address of that member's or none. */
  #rows(): readonly Row[] {
    return [...new Set([...this.#store.keys(), ...this.#news.keys()])].flatMap((key) => {
      const [id, n] = key.split("/");
      const server = this.servers.find((one) => one.id === id);
      const stored = this.#read(this.#store.get(key) ?? "");
      const news = this.#read(this.#news.get(key)?.text ?? "");
      const record = news !== undefined && (stored === undefined || news.rev > stored.rev) ? news : stored;
      if (server === undefined || record === undefined) return [];
      const isOwn = record.address === null || this.#hostOf(server, record.address) !== undefined;
      return isOwn ? [{ server, n: Number(n), record }] : [];
    });
  }

  /** The last octet of an address that is one of the server's containers'. */
  #hostOf(server: ModelServer, address: string): number | undefined {
    const [a, b, c, d = 0] = address.split(".").map(Number);
    const [first, second] = this.#network;
    return a === first && b === second && c === server.subnet && d >= 2 && d <= 254 ? d : undefined;
  }

  #claims(label: string): readonly Claim[] {
    const claims = new Map<string, { parts: Omit<Claim, "rows">; rows: Row[] }>();
    for (const row of this.#rows()) {
      const { project, service, instance } = row.record;
      const meanings = [
        { project, service, instance: null },
        ...(instance === null ? [] : [{ project, service, instance }]),
      ];
      for (const parts of meanings) {
        const words = [parts.project, parts.service, ...(parts.instance === null ? [] : [parts.instance])];
        if (words.join("-") !== label || label.length > 63) continue;
        const key = JSON.stringify(parts);
        const claim = claims.get(key) ?? { parts, rows: [] };
        claim.rows.push(row);
        claims.set(key, claim);
      }
    }
    return [...claims.values()].map(({ parts, rows }) => ({ ...parts, rows })).sort(precedence);
  }

  #isAnswered({ server, record }: Row): boolean {
    return record.state === "healthy" && record.address !== null && !this.hidden.has(server.id);
  }

  #addressOf(subnet: number, host: number): string {
    return `${this.#network.join(".")}.${subnet}.${host}`;
  }

  /** @param name lower-case, without the final dot */
  answer(name: string, type: string): ModelAnswer {
    const labels = name.split(".");
    if (labels.at(-1) === "jiji") return this.#answerJiji(labels, type);
    const reverse = labels.slice(-2).join(".") === "in-addr.arpa" ? labels.slice(0, -2).toReversed() : [];
    const apexOctets = this.#prefix === 16 ? 2 : 3;
    const apex = [...this.#network.map(String), ...(this.#prefix === 24 ? ["0"] : [])];
    if (reverse.length < apexOctets || apex.some((octet, rank) => octet !== reverse[rank])) {
      return { rcode: "FORWARD", answers: [], additionals: [], soaOf: undefined };
    }
    return this.#answerReverse(reverse, apex, type);
  }

  #answerJiji(labels: readonly string[], type: string): ModelAnswer {
    if (labels.length === 1) return apexAnswer("jiji", type);
    const [label = "", server] = labels.slice(-3, -1).toReversed();
    const nodata = nothing("NOERROR", "jiji");
    const nxdomain = nothing("NXDOMAIN", "jiji");
    if (label === "ns" && labels.length === 2) {
      const own = this.servers.find(({ id }) => id === this.self);
      return own !== undefined && isAddressType(type) ? found([`A ${this.#addressOf(own.subnet, 1)}`]) : nodata;
    }
    if (label === "server") {
      if (labels.length === 2) return this.servers.length > 0 ? nodata : nxdomain;
      const named = labels.length === 3 ? this.servers.find(({ name }) => name === server) : undefined;
      if (named === undefined) return nxdomain;
      return isAddressType(type) ? found([`A ${this.#addressOf(named.subnet, 1)}`]) : nodata;
    }
    const [claim] = this.#claims(label);
    if (claim === undefined) return nxdomain;
    const answered = claim.rows.filter((row) => this.#isAnswered(row));
    if (labels.length > 2) return this.#answerService(labels.slice(0, -2), claim, answered, type);
    if (type === "TXT")
      return answered.length === 0 ? nodata : found(answered.toSorted(inOrder).slice(0, MAX_TEXTS).map(textOf));
    const addresses = new Set(answered.map(({ record }) => `A ${record.address}`));
    return isAddressType(type) && addresses.size > 0 ? found([...addresses]) : nodata;
  }

  /** `_80._tcp` and what is above and below it. */
  #answerService(labels: readonly string[], claim: Claim, answered: readonly Row[], type: string): ModelAnswer {
    const protocol = labels.at(-1) ?? "";
    const has = (row: Row, port?: string): boolean =>
      row.record.ports.some(
        (one) => `_${one.protocol}` === protocol && (port === undefined || `_${one.port}` === port),
      );
    if (!claim.rows.some((row) => has(row))) return nothing("NXDOMAIN", "jiji");
    if (labels.length === 1) return nothing("NOERROR", "jiji");
    const [port = ""] = labels;
    if (labels.length !== 2 || !claim.rows.some((row) => has(row, port))) return nothing("NXDOMAIN", "jiji");
    const open = answered.filter((row) => has(row, port)).map((row) => ({ row, target: this.#nameOf(row.record) }));
    const named = open.filter(({ target }) => target !== undefined);
    if ((type !== "SRV" && type !== "ANY") || named.length === 0) return nothing("NOERROR", "jiji");
    const places = new Set(named.map(({ target }) => `SRV 0 0 ${port.slice(1)} ${target}.jiji`));
    const additionals = new Set(named.map(({ target, row }) => `${target}.jiji A ${row.record.address}`));
    return { ...found([...places]), additionals: [...additionals] };
  }

  /** The narrowest name that leads to a container. */
  #nameOf({ project, service, instance }: ContainerRecord): string | undefined {
    const service1 = `${project}-${service}`;
    const candidates = [...(instance === null ? [] : [`${service1}-${instance}`]), service1];
    return candidates.find((label, index) => {
      const [winner] = this.#claims(label);
      const isInstance = index === 0 && instance !== null;
      return (
        winner?.project === project && winner.service === service && winner.instance === (isInstance ? instance : null)
      );
    });
  }

  #nameOfAddress(subnet: number, host: number): string | undefined {
    const server = this.servers.find((one) => one.subnet === subnet);
    if (host === 1 && server !== undefined) return `${server.name}.server`;
    const address = this.#addressOf(subnet, host);
    const holders = this.#rows()
      .filter(({ record }) => record.address === address)
      .sort((a, b) => b.record.rev - a.record.rev || a.n - b.n);
    const [holder] = holders;
    return holder === undefined ? undefined : this.#nameOf(holder.record);
  }

  #answerReverse(octets: readonly string[], apex: readonly string[], type: string): ModelAnswer {
    const zone = `${apex.toReversed().join(".")}.in-addr.arpa`;
    if (octets.length === apex.length) return apexAnswer(zone, type);
    const isOctet = (text: string): boolean => /^(0|[1-9][0-9]{0,2})$/.test(text) && Number(text) <= 255;
    const nxdomain = nothing("NXDOMAIN", zone);
    if (octets.length > 4 || !octets.every(isOctet)) return nxdomain;
    const subnet = Number(octets[2]);
    if (octets.length === 3) {
      const hosts = Array.from({ length: 256 }, (_, host) => host);
      const isThere = hosts.some((host) => this.#nameOfAddress(subnet, host) !== undefined);
      return nothing(isThere ? "NOERROR" : "NXDOMAIN", zone);
    }
    const name = this.#nameOfAddress(subnet, Number(octets[3]));
    if (name === undefined) return nxdomain;
    return type === "PTR" || type === "ANY" ? found([`PTR ${name}.jiji`]) : nothing("NOERROR", zone);
  }
}

function isAddressType(type: string): boolean {
  return type === "A" || type === "ANY";
}

function found(answers: readonly string[]): ModelAnswer {
  return { rcode: "NOERROR", answers, additionals: [], soaOf: undefined };
}

function nothing(rcode: "NOERROR" | "NXDOMAIN", soaOf: string): ModelAnswer {
  return { rcode, answers: [], additionals: [], soaOf };
}

function apexAnswer(zone: string, type: string): ModelAnswer {
  if (type === "SOA" || type === "ANY") return found(["SOA"]);
  return type === "NS" ? found(["NS ns.jiji"]) : nothing("NOERROR", zone);
}

/** By address, then by id. */
function inOrder(a: Row, b: Row): number {
  const number = ({ record }: Row): number =>
    (record.address ?? "").split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return number(a) - number(b) || (a.record.containerId < b.record.containerId ? -1 : 1);
}

function textOf({ server, record }: Row): string {
  const { containerId, ports, meta } = record;
  const texts = [`container=${containerId.slice(0, 12)}`, `server=${server.name}`];
  if (ports.length > 0) texts.push(`ports=${ports.map(({ port, protocol }) => `${port}/${protocol}`).join(",")}`);
  if (meta["image"] !== undefined && meta["image"] !== "") texts.push(`image=${meta["image"]}`);
  // A string of TXT has 255 octets at most.
  return `TXT ${texts.map((text) => Buffer.from(text).subarray(0, 255).toString()).join(" ")}`;
}

/** A service before an instance, between equals what sorts first. */
function precedence(a: Claim, b: Claim): number {
  if ((a.instance === null) !== (b.instance === null)) return a.instance === null ? -1 : 1;
  const text = ({ project, service, instance }: Claim) => [project, service, instance ?? ""];
  const [x, y] = [text(a), text(b)];
  for (let i = 0; i < 3; i++) if (x[i] !== y[i]) return x[i]! < y[i]! ? -1 : 1;
  return 0;
}
