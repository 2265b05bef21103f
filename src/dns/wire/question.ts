import { CLASS_IN, FLAG, HEADER_BYTES, MAX_LABEL_BYTES, MAX_NAME_BYTES, RCODE, TYPE } from "./wire.ts";

/** The packet is no question at all and gets no answer: too short, or a response. */
export const NOT_A_QUESTION = -1;

/** What one question says. One object is filled again and again, so that reading a question allocates nothing. */
export class Question {
  /** the header's flags as they came */
  flags = 0;
  type = 0;
  /** octets of the name, root included */
  nameBytes = 0;
  /** labels of the name, the root not counted */
  labels = 0;
  /** offset of the last label (the top-level domain) within the name; -1 for the root */
  topLabelAt = -1;
  /** hash of the lower-cased name */
  hash = 0;
  /** offset after the question within the message */
  end = 0;
  hasOpt = false;
  /** what the client's OPT says it can take over UDP */
  udpPayloadBytes = 0;
  isDnssecOk = false;
  /** the lower-cased name in wire form, padded with zeros to a multiple of four */
  readonly name = new DataView(new ArrayBuffer(MAX_NAME_BYTES + 1));
  /** the same, as little-endian words: quicker to compare */
  readonly nameWords = new Int32Array(this.name.buffer);
  /** makes hashes differ from process to process: nobody can prepare names that collide */
  readonly seed: number;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Another one that says the same, to be kept while this one reads others. */
  copy(): Question {
    const copy = new Question(this.seed);
    copy.nameWords.set(this.nameWords);
    return Object.assign(copy, this, { name: copy.name, nameWords: copy.nameWords });
  }

  /** A copy of the lower-cased name. */
  nameCopy(): Uint8Array {
    return new Uint8Array(this.name.buffer.slice(0, this.nameBytes));
  }
}

/**
 * Reads a query strictly, in place, without allocating. Gives RCODE.NOERROR when `question` holds a question of class
 * IN that may be answered, another RCODE when that is the whole answer, or {@link NOT_A_QUESTION}. `end` and the OPT
 * fields are valid for REFUSED and BADVERS too. For FORMERR and NOTIMP the question may be unread; `type` is 0 then.
 *
 * Refused as FORMERR: any QDCOUNT but 1, answers or authorities in a query, compression in the question's name (there
 * is nothing before it to point to), labels over 63, names over 255, records that end outside the message, a second
 * OPT or one with a name, options that do not fill it, octets after the last record.
 */
export function readQuestion(view: DataView, start: number, length: number, question: Question): number {
  if (length < HEADER_BYTES) return NOT_A_QUESTION;
  const flags = view.getUint16(start + 2);
  if ((flags & FLAG.QR) !== 0) return NOT_A_QUESTION;
  question.flags = flags;
  question.type = 0;
  question.hash = 0;
  question.hasOpt = false;
  question.isDnssecOk = false;
  question.udpPayloadBytes = 0;
  if ((flags & FLAG.OPCODE) !== 0) return RCODE.NOTIMP;
  if (view.getUint16(start + 4) !== 1 || view.getUint32(start + 6) !== 0) return RCODE.FORMERR;

  const nameAt = start + HEADER_BYTES;
  const end = start + length;
  let at = nameAt;
  let labels = 0;
  let topLabelAt = -1;
  for (;;) {
    if (at >= end) return RCODE.FORMERR;
    const labelBytes = view.getUint8(at);
    if (labelBytes === 0) break;
    if (labelBytes > MAX_LABEL_BYTES) return RCODE.FORMERR;
    topLabelAt = at - nameAt;
    at += labelBytes + 1;
    labels++;
  }
  at++;
  const nameBytes = at - nameAt;
  if (nameBytes > MAX_NAME_BYTES || at + 4 > end) return RCODE.FORMERR;
  question.nameBytes = nameBytes;
  question.labels = labels;
  question.topLabelAt = topLabelAt;
  const type = view.getUint16(at);
  const klass = view.getUint16(at + 2);
  question.type = type;
  at += 4;
  question.end = at - start;

  const additional = view.getUint16(start + 10);
  let hasBadVersion = false;
  if (additional !== 0) {
    const verdict = readAdditional(view, start, at, end, additional, question);
    if (verdict === RCODE.FORMERR) return RCODE.FORMERR;
    hasBadVersion = verdict === RCODE.BADVERS;
  } else if (at !== end) {
    return RCODE.FORMERR;
  }
  if (hasBadVersion) return RCODE.BADVERS;
  if (klass !== CLASS_IN || isMetaType(type)) return RCODE.REFUSED;
  hashName(view, nameAt, question);
  return RCODE.NOERROR;
}

/** Zone transfers, transaction keys and other types that only a query can have, ANY excepted (RFC 6895 §3.1). */
function isMetaType(type: number): boolean {
  return type === 0 || type === TYPE.OPT || (type >= 128 && type <= 254);
}

function readAdditional(
  view: DataView,
  start: number,
  from: number,
  end: number,
  count: number,
  question: Question,
): number {
  let at = from;
  let verdict: number = RCODE.NOERROR;
  for (let i = 0; i < count; i++) {
    const nameEnd = skipName(view, start, at, end);
    if (nameEnd < 0 || nameEnd + 10 > end) return RCODE.FORMERR;
    const dataAt = nameEnd + 10;
    const dataEnd = dataAt + view.getUint16(nameEnd + 8);
    if (dataEnd > end) return RCODE.FORMERR;
    if (view.getUint16(nameEnd) === TYPE.OPT) {
      const isRoot = nameEnd === at + 1;
      if (question.hasOpt || !isRoot || !areOptionsWhole(view, dataAt, dataEnd)) return RCODE.FORMERR;
      question.hasOpt = true;
      question.udpPayloadBytes = view.getUint16(nameEnd + 2);
      if (view.getUint8(nameEnd + 5) !== 0) verdict = RCODE.BADVERS;
      question.isDnssecOk = (view.getUint8(nameEnd + 6) & 0x80) !== 0;
    }
    at = dataEnd;
  }
  return at === end ? verdict : RCODE.FORMERR;
}

/** Where the name ends; -1 when it runs out of the message or points anywhere but back. */
function skipName(view: DataView, start: number, from: number, end: number): number {
  let at = from;
  while (at < end) {
    const labelBytes = view.getUint8(at);
    if (labelBytes === 0) return at - from < MAX_NAME_BYTES ? at + 1 : -1;
    if (labelBytes >= 0xc0) {
      if (at + 2 > end) return -1;
      const target = view.getUint16(at) & 0x3fff;
      return target >= HEADER_BYTES && start + target < from ? at + 2 : -1;
    }
    if (labelBytes > MAX_LABEL_BYTES) return -1;
    at += labelBytes + 1;
  }
  return -1;
}

function areOptionsWhole(view: DataView, from: number, end: number): boolean {
  let at = from;
  while (at < end) {
    if (at + 4 > end) return false;
    at += 4 + view.getUint16(at + 2);
  }
  return at === end;
}

/** The multiplier of Fibonacci hashing, 2^32 / golden ratio, odd. */
const HASH_FACTOR = 0x9e3779b1;

/** Mixes one word of a name into a hash. */
export function mixHash(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, HASH_FACTOR);
  return mixed ^ (mixed >>> 15);
}

/**
 * Lower-cases four octets at once: a letter's octet gets 0x20 where its seven low bits are within A to Z and its
 * high bit is clear. Length octets are below 64 and so never taken for a letter.
 */
export function lowerWord(word: number): number {
  const low = word & 0x7f7f7f7f;
  const isUpper = ((low + 0x3f3f3f3f) | 0) ^ ((low + 0x25252525) | 0);
  return word | ((isUpper & ~word & 0x80808080) >>> 2);
}

/** Writes the lower-cased name into `question.name`, a word at a time, and its hash. */
function hashName(view: DataView, nameAt: number, question: Question): void {
  const { nameWords, nameBytes } = question;
  const whole = nameBytes & ~3;
  let hash = question.seed;
  for (let at = 0; at < whole; at += 4) {
    const word = lowerWord(view.getInt32(nameAt + at, true));
    nameWords[at >> 2] = word;
    hash = mixHash(hash, word);
  }
  const rest = nameBytes & 3;
  if (rest !== 0) {
    // The question's type and class follow the name, so four octets can be read.
    const word = lowerWord(view.getInt32(nameAt + whole, true) & ((1 << (8 * rest)) - 1));
    nameWords[whole >> 2] = word;
    hash = mixHash(hash, word);
  }
  question.hash = hash;
}
