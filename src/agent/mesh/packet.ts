import { parseJson } from "../../model/json.ts";

/**
 * What agents say to each other in datagrams on port 31281. Nothing in them names a path, a statement or a program, and
 * nothing says who sent it: that is decided by the source address alone, which WireGuard vouches for.
 *
 * All begin with the octet 0x4a, a version and a type; numbers are big-endian and unsigned.
 *
 * | type    | then                                                                                             |
 * | ------- | ------------------------------------------------------------------------------------------------ |
 * | ping    | flags (1), sequence (4), last sequence heard back or 0 (4), round trip in 0.1 ms or 0xffff (2)     |
 * | pong    | the same, with the ping's sequence and, instead of a round trip, how long the ping lay unread      |
 * | news    | flags 0, message number (4), UTF-8 JSON: [[n, record], …]                                          |
 * | ack     | flags 0, message number (4)                                                                        |
 * | recheck | flags 0: please compare your rows with your engine and the store                                   |
 */
export type Packet = Probe | News | Ack | { readonly type: "recheck" };

export interface Probe {
  readonly type: "ping" | "pong";
  /** the sender has compared its rows with its engine since it booted */
  readonly isReady: boolean;
  /** pong only: the sender knows by now that it is heard */
  readonly isConfirmed: boolean;
  /** 1 to 2^32-1; a pong has its ping's */
  readonly sequence: number;
  /** ping only: the last sequence whose pong was heard; 0: none */
  readonly heard: number;
  /** ping: the sender's last measured round trip; pong: how long the ping lay unread; undefined: not known */
  readonly roundTripMs: number | undefined;
}

export interface Ack {
  readonly type: "ack";
  readonly message: number;
}

export interface News {
  readonly type: "news";
  readonly message: number;
  /** the sender's own rows; the texts are not parsed yet */
  readonly rows: readonly (readonly [n: number, record: string])[];
}

const MAGIC = 0x4a;
const VERSION = 1;
const TYPES = ["ping", "pong", "news", "ack", "recheck"] as const;

/** Where a packet's type stands, and the first type that is no probe. */
export const PROBES_FIRST = { typeAt: 2, urgentFrom: 2 } as const;

const READY = 1;
const CONFIRMED = 2;
const NO_ROUND_TRIP = 0xffff;
const HEAD_BYTES = 4;
const PROBE_BYTES = HEAD_BYTES + 10;

/** Rows in one datagram; more come in another one. */
export const MAX_NEWS_ROWS = 64;

export function encodePacket(packet: Packet): Buffer {
  switch (packet.type) {
    case "ping":
    case "pong":
      return encodeProbe(packet);
    case "news":
      return Buffer.concat([encodeNumbered(packet), Buffer.from(JSON.stringify(packet.rows), "utf8")]);
    case "ack":
      return encodeNumbered(packet);
    default:
      return withHead(packet.type, HEAD_BYTES);
  }
}

/** Some hundred of these leave each second in a large mesh: one piece of memory, no copying. */
function withHead(type: Packet["type"], bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  buffer[0] = MAGIC;
  buffer[1] = VERSION;
  buffer[2] = TYPES.indexOf(type);
  buffer[3] = 0;
  return buffer;
}

function encodeProbe(probe: Probe): Buffer {
  const buffer = withHead(probe.type, PROBE_BYTES);
  buffer[3] = (probe.isReady ? READY : 0) | (probe.isConfirmed ? CONFIRMED : 0);
  buffer.writeUInt32BE(probe.sequence, 4);
  buffer.writeUInt32BE(probe.heard, 8);
  const trip = probe.roundTripMs === undefined ? NO_ROUND_TRIP : Math.round(probe.roundTripMs * 10);
  buffer.writeUInt16BE(Math.min(NO_ROUND_TRIP, Math.max(0, trip)), 12);
  return buffer;
}

function encodeNumbered(packet: News | Ack): Buffer {
  const buffer = withHead(packet.type, HEAD_BYTES + 4);
  buffer.writeUInt32BE(packet.message, HEAD_BYTES);
  return buffer;
}

/** Reads a datagram of any origin; undefined for everything that is not exactly one of the packets. Never throws. */
export function decodePacket(data: Buffer): Packet | undefined {
  if (data.length < HEAD_BYTES || data[0] !== MAGIC || data[1] !== VERSION) return undefined;
  const type = TYPES[data[2] ?? -1];
  switch (type) {
    case "ping":
    case "pong":
      return decodeProbe(type, data);
    case "news":
      return decodeNews(data);
    case "ack":
      return data.length === HEAD_BYTES + 4 ? { type, message: data.readUInt32BE(4) } : undefined;
    case "recheck":
      return data.length === HEAD_BYTES ? { type } : undefined;
    default:
      return undefined;
  }
}

function decodeProbe(type: "ping" | "pong", data: Buffer): Probe | undefined {
  if (data.length !== PROBE_BYTES) return undefined;
  const flags = data[3] ?? 0;
  const trip = data.readUInt16BE(12);
  const sequence = data.readUInt32BE(4);
  if (sequence === 0) return undefined;
  return {
    type,
    isReady: (flags & READY) !== 0,
    isConfirmed: (flags & CONFIRMED) !== 0,
    sequence,
    heard: data.readUInt32BE(8),
    roundTripMs: trip === NO_ROUND_TRIP ? undefined : trip / 10,
  };
}

function decodeNews(data: Buffer): News | undefined {
  if (data.length < HEAD_BYTES + 4) return undefined;
  const json = parseJson(data.toString("utf8", HEAD_BYTES + 4));
  if (!Array.isArray(json) || json.length > MAX_NEWS_ROWS || !json.every((row) => isRow(row))) return undefined;
  return { type: "news", message: data.readUInt32BE(4), rows: json.map(([n, record]) => [n, record] as const) };
}

function isRow(row: unknown): row is [number, string] {
  if (!Array.isArray(row) || row.length !== 2) return false;
  const [n, record] = row as unknown[];
  return typeof n === "number" && Number.isInteger(n) && n >= 0 && n <= 4095 && typeof record === "string";
}
