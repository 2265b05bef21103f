import { isContainerAddress, type ClusterCidr, type SubnetNumber } from "../../model/cluster.ts";
import { encodeContainerRecord, parseContainerRecord, type ContainerRecord } from "../../model/container-record.ts";
import { isUsableRev } from "../../model/revision.ts";
import { TokenBucket, type Rate } from "../../model/token-bucket.ts";
import type { RowChange } from "../containers/mirror.ts";
import { MAX_NEWS_ROWS, type News, type Packet } from "./packet.ts";

/** A datagram fits the smallest path through the tunnel that jiji accepts (1,280 octets) with its headers. */
const TARGET_BYTES = 1_200;

/** How often news is sent in all, while it is not acknowledged. */
const ATTEMPTS = 3;

/**
 * The first repetition does not wait for an acknowledgement. On a long way a lost datagram would cost a whole round trip,
 * and one more datagram costs next to nothing. This is not done while much is being sent.
 */
const EARLY_MS = 15;
const EARLY_UNACKNOWLEDGED = 512;

/** Otherwise an acknowledgement comes after a round trip and a moment. */
const SLACK_MS = 10;
const SHORTEST_WAIT_MS = 25;
const LONGEST_WAIT_MS = 1_000;

/** Rows as they are said: n and the record's text. */
export type Rows = News["rows"];

/**
 * What a change tells the others: no row or one. A row that is gone is told as stopped, since an absence has no rev.
 */
export function newsOfChange({ n, rev, text, previous }: RowChange): Rows {
  if (text !== "") return [[n, text]];
  if (previous === undefined) return [];
  return [[n, encodeContainerRecord({ ...previous, state: "stopped", address: null, rev })]];
}

/** Cuts rows into datagrams. */
export function packNews(rows: Rows): readonly Rows[] {
  const packed: (readonly [number, string])[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const row of rows) {
    const rowBytes = Buffer.byteLength(JSON.stringify(row)) + 1;
    const last = packed.at(-1);
    if (last === undefined || bytes + rowBytes > TARGET_BYTES || last.length >= MAX_NEWS_ROWS) {
      packed.push([row]);
      bytes = rowBytes;
    } else {
      last.push(row);
      bytes += rowBytes;
    }
  }
  return packed;
}

interface Unacknowledged {
  readonly to: string;
  readonly packet: News;
  readonly waitMs: number;
  attempts: number;
  nextAtMs: number;
}

/** Says changes to everybody, again when it was not acknowledged. Lost news costs nothing but time: the store delivers too. */
export class NewsSender {
  readonly #waiting = new Map<string, Unacknowledged>();
  #message: number;

  /** @param random 0 ≤ x < 1; where the numbers begin, so that a restarted agent's are not taken for old ones */
  constructor(random: () => number) {
    this.#message = Math.floor(random() * 0xffff_ffff);
  }

  /** Datagrams for each peer; a round trip that is not known counts as long. */
  say(
    rows: Rows,
    peers: readonly { readonly id: string; readonly roundTripMs: number | undefined }[],
    nowMs: number,
  ): readonly { readonly to: string; readonly packet: Packet }[] {
    const outgoing: { to: string; packet: News }[] = [];
    for (const part of packNews(rows)) {
      this.#message = (this.#message + 1) >>> 0;
      const packet: News = { type: "news", message: this.#message, rows: part };
      for (const { id, roundTripMs } of peers) {
        const tripMs = roundTripMs ?? LONGEST_WAIT_MS / 2;
        const waitMs = Math.min(LONGEST_WAIT_MS, Math.max(SHORTEST_WAIT_MS, tripMs + SLACK_MS));
        const firstMs = this.#waiting.size < EARLY_UNACKNOWLEDGED ? EARLY_MS : waitMs;
        this.#waiting.set(`${id} ${packet.message}`, {
          to: id,
          packet,
          waitMs,
          attempts: 1,
          nextAtMs: nowMs + firstMs,
        });
        outgoing.push({ to: id, packet });
      }
    }
    return outgoing;
  }

  acknowledged(from: string, message: number): void {
    this.#waiting.delete(`${from} ${message}`);
  }

  /** What has to be said again now. */
  tick(nowMs: number): readonly { readonly to: string; readonly packet: Packet }[] {
    const outgoing: { to: string; packet: News }[] = [];
    for (const [key, each] of this.#waiting) {
      if (nowMs < each.nextAtMs) continue;
      if (each.attempts >= ATTEMPTS) {
        this.#waiting.delete(key);
        continue;
      }
      each.attempts++;
      each.nextAtMs = nowMs + each.waitMs;
      outgoing.push({ to: each.to, packet: each.packet });
    }
    return outgoing;
  }

  nextDueMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { nextAtMs } of this.#waiting.values()) next = Math.min(next, nextAtMs);
    return next;
  }
}

/** One record of another server, ahead of the store. */
export interface NewsRecord {
  readonly serverId: string;
  readonly n: number;
  readonly record: string;
}

/** Datagrams of one peer that are looked at. */
const NEWS: Rate = { burst: 100, perSecond: 50 };

/** No server has more rows than addresses; a peer that names more is forgotten and begins anew. */
const MAX_ROWS_PER_PEER = 512;

interface Heard {
  readonly revs: Map<number, number>;
  readonly bucket: TokenBucket;
}

/**
 * Judges the news of the others. The source address says who speaks, so news can only be about the speaker's own rows.
 * Doubled, late and disordered news is left out as far as it is remembered; `rev` settles the rest.
 */
export class NewsReceiver {
  readonly #cluster: ClusterCidr;
  readonly #heard = new Map<string, Heard>();

  constructor(cluster: ClusterCidr) {
    this.#cluster = cluster;
  }

  /**
   * Gives the records worth telling, and how many were refused; undefined when the peer says more than it may, in which
   * case nothing is acknowledged either.
   */
  take(
    from: { readonly id: string; readonly subnet: SubnetNumber },
    rows: Rows,
    now: { readonly monotonicMs: number; readonly clockMs: number },
  ): { readonly records: readonly NewsRecord[]; readonly refused: number } | undefined {
    const heard = this.#heardOf(from.id, now.monotonicMs);
    if (!heard.bucket.take(now.monotonicMs)) return undefined;
    const records: NewsRecord[] = [];
    let refused = 0;
    for (const [n, text] of rows) {
      const record = parseContainerRecord(text);
      if (record === undefined || !this.#isCredible(record, from.subnet, now.clockMs)) {
        refused++;
        continue;
      }
      if (record.rev <= (heard.revs.get(n) ?? 0)) continue;
      if (heard.revs.size >= MAX_ROWS_PER_PEER) heard.revs.clear();
      heard.revs.set(n, record.rev);
      records.push({ serverId: from.id, n, record: text });
    }
    return { records, refused };
  }

  /** Forgets everybody but these. */
  retain(ids: ReadonlySet<string>): void {
    for (const id of this.#heard.keys()) if (!ids.has(id)) this.#heard.delete(id);
  }

  #isCredible(record: ContainerRecord, subnet: SubnetNumber, clockMs: number): boolean {
    if (!isUsableRev(record.rev, clockMs)) return false;
    return record.address === null || isContainerAddress(this.#cluster, subnet, record.address);
  }

  #heardOf(id: string, nowMs: number): Heard {
    const heard = this.#heard.get(id) ?? { revs: new Map(), bucket: new TokenBucket(NEWS, nowMs) };
    this.#heard.set(id, heard);
    return heard;
  }
}
