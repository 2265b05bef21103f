import { CLASS_IN, EDNS_UDP_BYTES, FLAG, HEADER_BYTES, OPT_BYTES, RCODE, TYPE } from "./wire.ts";

/** A question as it is asked of a resolver. */
export interface UpstreamQuestion {
  /** in wire form, in the case of whoever asked first */
  readonly name: Uint8Array;
  readonly type: number;
  readonly isDnssecOk: boolean;
  readonly isCheckingDisabled: boolean;
  readonly isRecursionDesired: boolean;
}

/** A resolver's answer, whole and checked, without OPT; only id, flags and question of the asker are still to be set. */
export interface UpstreamAnswer {
  readonly rcode: number;
  readonly isAuthentic: boolean;
  /** it says itself that it is not whole, and could not be had whole */
  readonly isTruncated: boolean;
  /** everything after the question; its compression pointers count from the message's beginning */
  readonly body: Uint8Array;
  readonly answers: number;
  readonly authorities: number;
  readonly additionals: number;
  /** places of the records' TTLs in `body` */
  readonly ttlsAt: readonly number[];
  /** how long it may be kept; 0: not at all */
  readonly ttlSeconds: number;
}

/** That a resolver could not answer. */
export const NO_ANSWER: UpstreamAnswer = {
  rcode: RCODE.SERVFAIL,
  isAuthentic: false,
  isTruncated: false,
  body: new Uint8Array(0),
  answers: 0,
  authorities: 0,
  additionals: 0,
  ttlsAt: [],
  ttlSeconds: 0,
};

/** Nothing is kept longer than a day (RFC 8767 §4 allows a week). */
const MAX_TTL_SECONDS = 86_400;

/** That there is no such name is not kept longer than RFC 2308 §5 advises. */
const MAX_NEGATIVE_TTL_SECONDS = 10_800;

/** A failure is kept for a moment, so that clients of a broken zone do not flood the resolvers (RFC 9520). */
const FAILURE_TTL_SECONDS = 2;

/** The question as a message, with OPT unless the resolver was seen to refuse it. */
export function encodeUpstreamQuery(question: UpstreamQuestion, id: number, hasOpt: boolean): Uint8Array {
  const { name, type, isDnssecOk, isCheckingDisabled, isRecursionDesired } = question;
  const bytes = new Uint8Array(HEADER_BYTES + name.length + 4 + (hasOpt ? OPT_BYTES : 0));
  const view = new DataView(bytes.buffer);
  const flags = (isRecursionDesired ? FLAG.RD : 0) | (isCheckingDisabled ? FLAG.CD : 0) | FLAG.AD;
  view.setUint16(0, id);
  view.setUint16(2, flags);
  view.setUint16(4, 1);
  view.setUint16(10, hasOpt ? 1 : 0);
  bytes.set(name, HEADER_BYTES);
  let at = HEADER_BYTES + name.length;
  view.setUint16(at, type);
  view.setUint16(at + 2, CLASS_IN);
  at += 4;
  if (hasOpt) {
    view.setUint16(at + 1, TYPE.OPT);
    view.setUint16(at + 3, EDNS_UDP_BYTES);
    view.setUint16(at + 7, isDnssecOk ? 0x8000 : 0);
  }
  return bytes;
}

/** Whether a message is an answer to that question: its id, its question, letters in any case. Anything else is junk. */
export function isAnswerTo(message: Uint8Array, question: UpstreamQuestion, id: number): boolean {
  const { name, type } = question;
  const end = HEADER_BYTES + name.length + 4;
  if (message.length < HEADER_BYTES) return false;
  const view = viewOf(message);
  const flags = view.getUint16(2);
  if (view.getUint16(0) !== id || (flags & FLAG.QR) === 0 || (flags & FLAG.OPCODE) !== 0) return false;
  // A resolver that could not even read the question may leave it out.
  if (view.getUint16(4) === 0) return (flags & 15) === RCODE.FORMERR || (flags & 15) === RCODE.NOTIMP;
  if (view.getUint16(4) !== 1 || message.length < end) return false;
  if (view.getUint16(end - 4) !== type || view.getUint16(end - 2) !== CLASS_IN) return false;
  return name.every((octet, index) => lower(octet) === lower(message[HEADER_BYTES + index] ?? 0));
}

/** Whether the answer did not fit and has to be asked for over TCP. */
export function isTruncated(message: Uint8Array): boolean {
  return (viewOf(message).getUint16(2) & FLAG.TC) !== 0;
}

/** The header's RCODE. */
function rcodeOf(message: Uint8Array): number {
  return viewOf(message).getUint16(2) & 15;
}

/**
 * Reads an answer that {@link isAnswerTo} has passed; undefined when it is malformed anywhere. A truncated one may end in
 * the middle of a record: of that nothing is taken but its RCODE. Octets after the last record are left out.
 */
export function decodeUpstreamAnswer(message: Uint8Array, question: UpstreamQuestion): UpstreamAnswer | undefined {
  const answer = decodeWhole(message, question);
  if (!isTruncated(message)) return answer;
  return { ...(answer ?? { ...NO_ANSWER, rcode: rcodeOf(message) }), isTruncated: true, ttlSeconds: 0 };
}

function decodeWhole(message: Uint8Array, question: UpstreamQuestion): UpstreamAnswer | undefined {
  const view = viewOf(message);
  // A resolver that could not read the question says nothing else.
  if (view.getUint16(4) === 0) return { ...NO_ANSWER, rcode: rcodeOf(message) };
  const bodyAt = HEADER_BYTES + question.name.length + 4;
  const reader = new RecordReader(view, bodyAt);
  const answers = view.getUint16(6);
  const authorities = view.getUint16(8);
  for (let i = 0; i < answers; i++) if (!reader.read("answer")) return undefined;
  for (let i = 0; i < authorities; i++) if (!reader.read("authority")) return undefined;
  let kept = 0;
  let end = reader.at;
  let isCut = false;
  for (let i = view.getUint16(10); i > 0; i--) {
    const record = reader.read("additional");
    if (record === undefined) return undefined;
    // OPT concerns only us and the resolver. Records behind it may be pointed to at their old place, so they go too.
    isCut ||= record.type === TYPE.OPT;
    if (isCut) continue;
    kept++;
    end = reader.at;
  }
  const flags = view.getUint16(2);
  const rcode = reader.extendedRcode === 0 ? flags & 15 : RCODE.SERVFAIL;
  const ttlsAt = reader.ttlsAt.filter((at) => at < end).map((at) => at - bodyAt);
  return {
    rcode,
    isAuthentic: (flags & FLAG.AD) !== 0,
    isTruncated: false,
    body: message.slice(bodyAt, end),
    answers,
    authorities,
    additionals: kept,
    ttlsAt,
    ttlSeconds: ttlOf(rcode, answers, reader),
  };
}

function ttlOf(rcode: number, answers: number, reader: RecordReader): number {
  if (rcode === RCODE.SERVFAIL) return FAILURE_TTL_SECONDS;
  if (rcode === RCODE.NOERROR && answers > 0) return Math.min(reader.lowestTtl, MAX_TTL_SECONDS);
  // A negative answer may be kept for what its SOA says, and without one not at all (RFC 2308 §5).
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 0;
  return Math.min(reader.negativeTtl ?? 0, reader.lowestTtl, MAX_NEGATIVE_TTL_SECONDS);
}

/** Walks over records, checking that each lies within the message and every name points back. */
class RecordReader {
  readonly ttlsAt: number[] = [];
  lowestTtl = MAX_TTL_SECONDS;
  negativeTtl: number | undefined;
  extendedRcode = 0;
  at: number;
  readonly #view: DataView;

  constructor(view: DataView, at: number) {
    this.#view = view;
    this.at = at;
  }

  read(section: "answer" | "authority" | "additional"): { readonly type: number } | undefined {
    const view = this.#view;
    const head = nameEnd(view, this.at);
    if (head < 0 || head + 10 > view.byteLength) return undefined;
    const type = view.getUint16(head);
    const dataEnd = head + 10 + view.getUint16(head + 8);
    if (dataEnd > view.byteLength || !isDataWhole(view, type, head + 10, dataEnd)) return undefined;
    if (type === TYPE.OPT) {
      this.extendedRcode = view.getUint8(head + 4);
    } else {
      // A TTL with its highest bit set means zero (RFC 2181 §8).
      const ttl = view.getUint32(head + 4);
      const seconds = ttl > 0x7fffffff ? 0 : ttl;
      this.ttlsAt.push(head + 4);
      if (section !== "additional") this.lowestTtl = Math.min(this.lowestTtl, seconds);
      if (section === "authority" && type === TYPE.SOA && dataEnd - head >= 10 + 22) {
        this.negativeTtl = Math.min(seconds, view.getUint32(dataEnd - 4));
      }
    }
    this.at = dataEnd;
    return { type };
  }
}

/**
 * Data with names that may be compressed (RFC 3597 §4) or of a fixed size: octets before the names, names, octets behind
 * them. All other types are opaque.
 */
const DATA_SHAPES: ReadonlyMap<number, readonly [before: number, names: number, behind: number]> = new Map(
  (
    [
      // A; AAAA; NS, CNAME, MB, MG, MR, PTR, DNAME
      [[4, 0, 0], 1],
      [[16, 0, 0], 28],
      [[0, 1, 0], 2, 5, 7, 8, 9, 12, 39],
      // SOA; MINFO, RP; MX, AFSDB, RT, KX; PX; SRV
      [[0, 2, 20], 6],
      [[0, 2, 0], 14, 17],
      [[2, 1, 0], 15, 18, 21, 36],
      [[2, 2, 0], 26],
      [[6, 1, 0], 33],
    ] as const
  ).flatMap(([shape, ...types]) => types.map((type) => [type, shape] as const)),
);

/** Whether a record's data fits its type: a client must not get a pointer that leads nowhere. */
function isDataWhole(view: DataView, type: number, from: number, end: number): boolean {
  const shape = DATA_SHAPES.get(type);
  if (shape === undefined) return true;
  const [before, names, behind] = shape;
  let at = from + before;
  for (let i = 0; i < names; i++) {
    at = nameEnd(view, at);
    if (at < 0 || at > end) return false;
  }
  return at + behind === end;
}

/** Where the name at `from` ends; -1 when it runs out of the message, points forward or is too long. */
function nameEnd(view: DataView, from: number): number {
  let end = -1;
  let bytes = 1;
  for (let at = from; at < view.byteLength;) {
    const length = view.getUint8(at);
    if (length === 0) return end < 0 ? at + 1 : end;
    if (length >= 0xc0) {
      if (at + 2 > view.byteLength) return -1;
      const target = view.getUint16(at) & 0x3fff;
      // Each jump goes back, so it ends.
      if (target >= at || target < HEADER_BYTES) return -1;
      if (end < 0) end = at + 2;
      at = target;
      continue;
    }
    bytes += length + 1;
    if (length > 63 || bytes > 255) return -1;
    at += length + 1;
  }
  return -1;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function lower(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet;
}
