import type { AnswerCache } from "../forward/answer-cache.ts";
import { NOT_A_QUESTION, Question, readQuestion } from "../wire/question.ts";
import { isReverseName, placeOfReverse, ReversePlace, type ClusterRange } from "../wire/reverse.ts";
import { RECORD, type TableReader } from "../zone/table.ts";
import {
  CLASS_IN,
  EDNS_UDP_BYTES,
  FLAG,
  HEADER_BYTES,
  MAX_MESSAGE_BYTES,
  OPT_BYTES,
  PLAIN_UDP_BYTES,
  QUESTION_NAME_POINTER,
  RCODE,
  TYPE,
} from "../wire/wire.ts";

/** No answer at all. */
export const DROPPED = 0;
/** The name is not ours: somebody else has to be asked. */
export const FORWARD = -1;
/** The name is ours, but the answer is not in the table (SRV, TXT, what lies between networks): ask the zone. */
export const ASK_ZONE = -2;

/** `4jiji` as the last label of a lower-cased name: its length, then its letters as one little-endian word. */
const JIJI_LENGTH = 4;
const JIJI_WORD = 0x696a696a;

/** `ns.jiji` and `hostmaster.jiji`, the names in SOA and NS. */
const NS_NAME = Uint8Array.of(2, 0x6e, 0x73, 4, 0x6a, 0x69, 0x6a, 0x69, 0);
const HOSTMASTER_NAME = Uint8Array.of(
  ...[10, 0x68, 0x6f, 0x73, 0x74, 0x6d, 0x61, 0x73, 0x74, 0x65, 0x72],
  ...[4, 0x6a, 0x69, 0x6a, 0x69, 0],
);

/** Seconds: what a secondary would use (RFC 1912 §2.2); there is none. */
const SOA_REFRESH = 3600;
const SOA_RETRY = 600;
const SOA_EXPIRE = 86_400;

const UNDERSCORE = 0x5f;

/**
 * Answers questions in place: the header and the question stay where they are, the answer follows them. It allocates
 * nothing per question. The same object must not be used by two threads.
 */
export class Responder {
  /** RCODE of the answer that was made last */
  rcode = 0;
  /** whether it was a resolver's, from the cache */
  isCached = false;
  #question: Question;
  readonly #cluster: ClusterRange;
  readonly #cache: AnswerCache | undefined;
  #table: TableReader | undefined;
  readonly #place = new ReversePlace();
  #turn = 0;

  /** @param cache what resolvers have answered; undefined: every such question is {@link FORWARD} */
  constructor(seed: number, cluster: ClusterRange, cache?: AnswerCache) {
    this.#question = new Question(seed);
    this.#cluster = cluster;
    this.#cache = cache;
  }

  /** What was asked last. */
  get question(): Question {
    return this.#question;
  }

  /** Questions are answered from this table on; undefined: nothing is known yet, own names give SERVFAIL. */
  use(table: TableReader | undefined): void {
    this.#table = table;
  }

  /** Brings the table's entries for the first `count` of these questions into the processor's cache. */
  warm(questions: readonly Question[], count: number): void {
    this.#table?.warm(questions, count);
  }

  /**
   * Answers the message of `length` octets at `start`. Gives the length of the answer, which stands in its place (there
   * must be room for EDNS_UDP_BYTES, over TCP for MAX_MESSAGE_BYTES), or {@link DROPPED}, {@link FORWARD} or
   * {@link ASK_ZONE}, with the message left as it was and `question` filled.
   */
  answer(view: DataView, start: number, length: number, isTcp: boolean): number {
    const question = this.#question;
    return this.answerRead(view, start, question, readQuestion(view, start, length, question), isTcp);
  }

  /** As {@link answer}, for a message that was read: `verdict` is what `readQuestion` gave, `question` what it filled. */
  answerRead(view: DataView, start: number, question: Question, verdict: number, isTcp: boolean): number {
    this.#question = question;
    this.isCached = false;
    if (verdict === NOT_A_QUESTION) return DROPPED;
    if (verdict !== RCODE.NOERROR) return this.refuse(view, start, verdict);
    if (this.#isJiji()) return this.#answerJiji(view, start, isTcp);
    if (isReverseName(question) && placeOfReverse(question, this.#cluster, this.#place)) {
      return this.#answerReverse(view, start, isTcp);
    }
    return this.#answerCached(view, start, isTcp, false);
  }

  /**
   * After {@link FORWARD}, when no resolver answers: as {@link answer}, with what is known although its time is over;
   * {@link FORWARD} again when there is nothing.
   */
  answerStale(view: DataView, start: number, length: number, isTcp: boolean): number {
    const verdict = readQuestion(view, start, length, this.#question);
    return verdict === RCODE.NOERROR ? this.#answerCached(view, start, isTcp, true) : DROPPED;
  }

  /** Makes the answer that says nothing but `rcode`. FORMERR and NOTIMP repeat no question, as it may not be one. */
  refuse(view: DataView, start: number, rcode: number): number {
    const isBare = rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP;
    const at = start + (isBare ? HEADER_BYTES : this.#question.end);
    if (isBare) this.#question.hasOpt = false;
    return this.#finish(view, start, at, rcode, 0, isBare ? 0 : 1, 0, 0);
  }

  /** After {@link ASK_ZONE}: NXDOMAIN or an empty answer, with the SOA of the zone that the name is in. */
  answerNothing(view: DataView, start: number, rcode: number): number {
    const apexAt = this.#isJiji() ? this.#question.topLabelAt : this.#place.apexAt;
    return this.#answerNegative(view, start, rcode, apexAt);
  }

  /** How long an answer to this question may be. */
  limit(isTcp: boolean): number {
    if (isTcp) return MAX_MESSAGE_BYTES;
    const { hasOpt, udpPayloadBytes } = this.#question;
    if (!hasOpt || udpPayloadBytes <= PLAIN_UDP_BYTES) return PLAIN_UDP_BYTES;
    return udpPayloadBytes < EDNS_UDP_BYTES ? udpPayloadBytes : EDNS_UDP_BYTES;
  }

  #isJiji(): boolean {
    const { name, topLabelAt } = this.#question;
    return (
      topLabelAt >= 0 && name.getUint8(topLabelAt) === JIJI_LENGTH && name.getInt32(topLabelAt + 1, true) === JIJI_WORD
    );
  }

  #answerJiji(view: DataView, start: number, isTcp: boolean): number {
    const table = this.#table;
    const question = this.#question;
    if (table === undefined) return this.refuse(view, start, RCODE.SERVFAIL);
    const record = table.find(question);
    if (record === 0) {
      if (question.labels > 2 && question.name.getUint8(1) === UNDERSCORE) return ASK_ZONE;
      return this.#answerNegative(view, start, RCODE.NXDOMAIN, question.topLabelAt);
    }
    const { type } = question;
    const kind = table.kind(record);
    if (kind === RECORD.APEX) return this.#answerApex(view, start, question.topLabelAt);
    if (type === TYPE.A || type === TYPE.ANY) {
      if (table.addressCount(record) > 0) return this.#answerAddresses(view, start, record, isTcp);
    } else if (type === TYPE.TXT && kind === RECORD.NAME) {
      return ASK_ZONE;
    }
    return this.#answerNegative(view, start, RCODE.NOERROR, question.topLabelAt);
  }

  #answerCached(view: DataView, start: number, isTcp: boolean, isStale: boolean): number {
    const cache = this.#cache;
    const question = this.#question;
    if (cache === undefined) return FORWARD;
    const place = cache.find(question, isStale);
    if (place === 0) return FORWARD;
    const at = start + question.end;
    const rcode = cache.rcode(place);
    const bodyBytes = cache.bodyBytes(place);
    const answers = cache.answers(place);
    const authorities = cache.authorities(place);
    const additionals = cache.additionals(place);
    const wantsAuthentic = question.isDnssecOk || (question.flags & FLAG.AD) !== 0;
    const authentic = wantsAuthentic && cache.isAuthentic(place) ? FLAG.AD : 0;
    const fits = question.end + bodyBytes + (question.hasOpt ? OPT_BYTES : 0) <= this.limit(isTcp);
    if (fits) cache.copyBody(place, bodyBytes, view, at);
    // The entry was overwritten meanwhile, and so was the rest of the packet: it cannot be forwarded either.
    if (!cache.isThere(place)) return this.refuse(view, start, RCODE.SERVFAIL);
    this.isCached = true;
    if (!fits) return this.#finish(view, start, at, rcode, authentic | FLAG.TC, 1, 0, 0);
    return this.#finish(view, start, at + bodyBytes, rcode, authentic, 1, answers, authorities, additionals);
  }

  #answerAddresses(view: DataView, start: number, record: number, isTcp: boolean): number {
    const table = this.#table as TableReader;
    const question = this.#question;
    let at = start + question.end;
    const room = this.limit(isTcp) - question.end - (question.hasOpt ? OPT_BYTES : 0);
    const count = table.addressCount(record);
    const fitting = (room / 16) | 0;
    const sent = count <= fitting ? count : fitting;
    const own = table.ownCount(record);
    const others = count - own;
    const turn = this.#turn++ & 0x7fffffff;
    const addresses = table.addressesAt(record);
    const { ttlSeconds } = table;
    // This server's own ones come first, then the others; each group is rotated.
    let index = own > 0 ? turn % own : turn % others;
    for (let i = 0; i < sent; i++) {
      if (i === own && own > 0) index = own + (turn % others);
      view.setUint32(at, (QUESTION_NAME_POINTER << 16) | TYPE.A);
      view.setUint32(at + 4, (CLASS_IN << 16) | (ttlSeconds >>> 16));
      view.setUint32(at + 8, ((ttlSeconds & 0xffff) << 16) | 4);
      view.setInt32(at + 12, table.addressAt(addresses, index));
      at += 16;
      index++;
      if (i < own ? index === own : index === count) index = i < own ? 0 : own;
    }
    return this.#finish(view, start, at, RCODE.NOERROR, FLAG.AA | (sent < count ? FLAG.TC : 0), 1, sent, 0);
  }

  #answerApex(view: DataView, start: number, apexAt: number): number {
    const question = this.#question;
    const at = start + question.end;
    if (question.type === TYPE.SOA || question.type === TYPE.ANY) {
      const end = this.#writeSoa(view, at, apexAt);
      return this.#finish(view, start, end, RCODE.NOERROR, FLAG.AA, 1, 1, 0);
    }
    if (question.type === TYPE.NS) {
      const end = this.#writeNs(view, at);
      return this.#finish(view, start, end, RCODE.NOERROR, FLAG.AA, 1, 1, 0);
    }
    return this.#answerNegative(view, start, RCODE.NOERROR, apexAt);
  }

  /** NXDOMAIN or NODATA with the SOA of the zone whose name begins at `apexAt` within the question's (RFC 2308). */
  #answerNegative(view: DataView, start: number, rcode: number, apexAt: number): number {
    const end = this.#writeSoa(view, start + this.#question.end, apexAt);
    return this.#finish(view, start, end, rcode, FLAG.AA, 1, 0, 1);
  }

  #answerReverse(view: DataView, start: number, isTcp: boolean): number {
    const question = this.#question;
    const table = this.#table;
    const place = this.#place;
    if (table === undefined) return this.refuse(view, start, RCODE.SERVFAIL);
    if (place.octets === place.apexOctets) return this.#answerApex(view, start, place.apexAt);
    if (place.octets < 4) return ASK_ZONE;
    const record = place.octets === 4 ? table.reverse(place.distance) : 0;
    if (record === 0) return this.#answerNegative(view, start, RCODE.NXDOMAIN, place.apexAt);
    if (question.type !== TYPE.PTR && question.type !== TYPE.ANY) {
      return this.#answerNegative(view, start, RCODE.NOERROR, place.apexAt);
    }
    const nameBytes = table.nameBytes(record);
    let at = start + question.end;
    if (question.end + 12 + nameBytes + (question.hasOpt ? OPT_BYTES : 0) > this.limit(isTcp)) {
      return this.#finish(view, start, at, RCODE.NOERROR, FLAG.AA | FLAG.TC, 1, 0, 0);
    }
    at = writeRecordHead(view, at, QUESTION_NAME_POINTER, TYPE.PTR, table.ttlSeconds, nameBytes);
    for (let i = 0; i < nameBytes; i++) view.setUint8(at++, table.nameByte(record, i));
    return this.#finish(view, start, at, RCODE.NOERROR, FLAG.AA, 1, 1, 0);
  }

  #writeNs(view: DataView, from: number): number {
    const { ttlSeconds } = this.#table as TableReader;
    const at = writeRecordHead(view, from, QUESTION_NAME_POINTER, TYPE.NS, ttlSeconds, NS_NAME.length);
    return writeBytes(view, at, NS_NAME);
  }

  /** Its TTL is the negative one: that is how long an answer without data may be kept (RFC 2308 §5). */
  #writeSoa(view: DataView, from: number, apexAt: number): number {
    const { negativeTtlSeconds, serial } = this.#table as TableReader;
    const dataBytes = NS_NAME.length + HOSTMASTER_NAME.length + 20;
    const owner = QUESTION_NAME_POINTER + apexAt;
    let at = writeRecordHead(view, from, owner, TYPE.SOA, negativeTtlSeconds, dataBytes);
    at = writeBytes(view, at, NS_NAME);
    at = writeBytes(view, at, HOSTMASTER_NAME);
    view.setUint32(at, serial);
    view.setUint32(at + 4, SOA_REFRESH);
    view.setUint32(at + 8, SOA_RETRY);
    view.setUint32(at + 12, SOA_EXPIRE);
    view.setUint32(at + 16, negativeTtlSeconds);
    return at + 20;
  }

  /** Writes OPT if the question had one, and the header; RD and CD are copied, RA is set (RFC 1035 §4.1.1). */
  #finish(
    view: DataView,
    start: number,
    end: number,
    rcode: number,
    flags: number,
    questions: number,
    answers: number,
    authorities: number,
    additionals = 0,
  ): number {
    const question = this.#question;
    this.rcode = rcode;
    const copied = question.flags & (FLAG.OPCODE | FLAG.RD | FLAG.CD);
    view.setUint16(start + 2, FLAG.QR | copied | flags | FLAG.RA | (rcode & 15));
    view.setUint32(start + 4, (questions << 16) | answers);
    view.setUint32(start + 8, (authorities << 16) | (additionals + (question.hasOpt ? 1 : 0)));
    if (!question.hasOpt) return end - start;
    return writeOpt(view, end, rcode, question.isDnssecOk) - start;
  }
}

/** Writes an OPT record that offers our size and repeats the DO bit (RFC 6891 §6.1.2, RFC 3225); gives its end. */
export function writeOpt(view: DataView, at: number, rcode: number, isDnssecOk: boolean): number {
  view.setUint8(at, 0);
  view.setUint16(at + 1, TYPE.OPT);
  view.setUint16(at + 3, EDNS_UDP_BYTES);
  view.setUint8(at + 5, rcode >>> 4);
  view.setUint8(at + 6, 0);
  view.setUint16(at + 7, isDnssecOk ? 0x8000 : 0);
  view.setUint16(at + 9, 0);
  return at + OPT_BYTES;
}

function writeRecordHead(
  view: DataView,
  at: number,
  owner: number,
  type: number,
  ttlSeconds: number,
  dataBytes: number,
): number {
  view.setUint16(at, owner);
  view.setUint16(at + 2, type);
  view.setUint16(at + 4, CLASS_IN);
  view.setUint32(at + 6, ttlSeconds);
  view.setUint16(at + 10, dataBytes);
  return at + 12;
}

function writeBytes(view: DataView, at: number, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) view.setUint8(at + i, bytes[i] as number);
  return at + bytes.length;
}
