import type { Question } from "../wire/question.ts";
import type { UpstreamAnswer } from "../wire/upstream-message.ts";
import { FLAG } from "../wire/wire.ts";

/**
 * Answers of resolvers, in memory that a writer and readers on other threads share: bounded in octets, the oldest making
 * room for the newest.
 *
 *     control  words
 *     slots    pairs of words: hash of a question, place of its entry; four to a bucket
 *     log      entries one after another, round and round; places are counted in words and only grow
 *
 *     entry    words: its words · when it was stored · until when it is fresh · until when it may be used at all (seconds)
 *              type and flags of the question · octets of the name · octets of the body · number of TTLs
 *              rcode and AD · answers and authorities · additionals
 *              the name, the places of the TTLs, the body, each padded with zeros to whole words
 *
 * An entry is declared outdated well before it is overwritten. A reader whose entry is still valid after copying has copied
 * it whole.
 */
const LOG_WORDS = 2 ** 21;
const LOG_MASK = LOG_WORDS - 1;

/** At least this many octets before the place of writing are outdated already. */
const MARGIN_WORDS = 2 ** 15;

/** Larger answers are not kept. */
const MAX_ENTRY_WORDS = 2 ** 14;

const BUCKET_SLOTS = 4;
const SLOTS = 2 ** 16;
const BUCKET_MASK = SLOTS / BUCKET_SLOTS - 1;

const CONTROL = { nowSeconds: 0, written: 1, oldest: 2, freshFrom: 3 } as const;
const CONTROL_WORDS = 16;
const LOG_AT = CONTROL_WORDS + SLOTS * 2;

const HEAD = {
  words: 0,
  storedAt: 1,
  freshUntil: 2,
  usableUntil: 3,
  asked: 4,
  nameBytes: 5,
  bodyBytes: 6,
  ttls: 7,
  verdict: 8,
  counts: 9,
  additionals: 10,
} as const;
const HEAD_WORDS = 11;

/** Octets of shared memory that a cache takes at most; what was never written takes none. */
export const CACHE_BYTES = (LOG_AT + LOG_WORDS) * 4;

/** How long an answer may be used after its time, should no resolver answer (RFC 8767 §5). */
const STALE_SECONDS = 86_400;

/** TTL of what is told after its time (RFC 8767 §4). */
const STALE_TTL_SECONDS = 30;

const AUTHENTIC = 0x100;

/** One thread's view of the cache. Only one thread may write. */
export class AnswerCache {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
    this.#view = new DataView(memory);
    this.#bytes = new Uint8Array(memory);
    // Place 0 means an empty slot, so the log begins with its second round.
    Atomics.compareExchange(this.#words, CONTROL.written, 0, LOG_WORDS);
    Atomics.compareExchange(this.#words, CONTROL.oldest, 0, LOG_WORDS);
    Atomics.compareExchange(this.#words, CONTROL.freshFrom, 0, LOG_WORDS);
  }

  /** Writer: says what time it is, in whole seconds of any clock that only grows. */
  setTime(nowSeconds: number): void {
    Atomics.store(this.#words, CONTROL.nowSeconds, nowSeconds);
  }

  /** Writer: everything that was kept before is expired from now on. */
  expire(): void {
    Atomics.store(this.#words, CONTROL.freshFrom, Atomics.load(this.#words, CONTROL.written));
  }

  /** Octets that are taken. */
  get usedBytes(): number {
    return (Atomics.load(this.#words, CONTROL.written) - Atomics.load(this.#words, CONTROL.oldest)) * 4;
  }

  /** Writer: keeps an answer for as long as it says; 0 seconds: not at all. */
  put(question: Question, answer: UpstreamAnswer): void {
    const { body, ttlsAt, ttlSeconds } = answer;
    const nameWords = wordsOf(question.nameBytes);
    const size = HEAD_WORDS + nameWords + ttlsAt.length + wordsOf(body.length);
    if (ttlSeconds <= 0 || size > MAX_ENTRY_WORDS) return;
    const place = this.#reserve(size);
    const words = this.#words;
    const at = LOG_AT + (place & LOG_MASK);
    const nowSeconds = Atomics.load(words, CONTROL.nowSeconds);
    const isAnswer = answer.rcode === 0 || answer.rcode === 3;
    words[at + HEAD.words] = size;
    words[at + HEAD.storedAt] = nowSeconds;
    words[at + HEAD.freshUntil] = nowSeconds + ttlSeconds;
    words[at + HEAD.usableUntil] = nowSeconds + ttlSeconds + (isAnswer ? STALE_SECONDS : 0);
    words[at + HEAD.asked] = askedWord(question);
    words[at + HEAD.nameBytes] = question.nameBytes;
    words[at + HEAD.bodyBytes] = body.length;
    words[at + HEAD.ttls] = ttlsAt.length;
    words[at + HEAD.verdict] = answer.rcode | (answer.isAuthentic ? AUTHENTIC : 0);
    words[at + HEAD.counts] = (answer.answers << 16) | answer.authorities;
    words[at + HEAD.additionals] = answer.additionals;
    const nameAt = at + HEAD_WORDS;
    for (let i = 0; i < nameWords; i++) words[nameAt + i] = question.nameWords[i] as number;
    for (const [index, ttlAt] of ttlsAt.entries()) words[nameAt + nameWords + index] = ttlAt;
    this.#bytes.set(body, (nameAt + nameWords + ttlsAt.length) * 4);
    Atomics.store(words, CONTROL.written, (place + size) | 0);
    const slot = this.#slotFor(question);
    // Until the place is set the slot is empty, so hash and place are never of two entries.
    Atomics.store(words, slot + 1, 0);
    words[slot] = hashOf(question);
    Atomics.store(words, slot + 1, place);
  }

  /**
   * The entry of a question, as a place for the calls below; 0: there is none. Fresh ones only, or with `isStale` also
   * one whose time is over.
   */
  find(question: Question, isStale: boolean): number {
    const words = this.#words;
    const hash = hashOf(question);
    const bucket = bucketOf(hash);
    for (let slot = bucket; slot < bucket + BUCKET_SLOTS * 2; slot += 2) {
      const place = words[slot + 1] as number;
      if (place === 0 || words[slot] !== hash || !this.#seemsThere(place)) continue;
      if (!this.#isOf(place, question)) continue;
      const nowSeconds = words[CONTROL.nowSeconds] as number;
      const at = LOG_AT + (place & LOG_MASK);
      const until = words[at + (isStale ? HEAD.usableUntil : HEAD.freshUntil)] as number;
      const isOutdated = !isStale && ((place - (words[CONTROL.freshFrom] as number)) | 0) < 0;
      return nowSeconds < until && !isOutdated && this.#seemsThere(place) ? place : 0;
    }
    return 0;
  }

  /** Whether the entry was not overwritten so far. To be asked again after the last look at it. */
  isThere(place: number): boolean {
    const words = this.#words;
    const isNotOld = ((place - Atomics.load(words, CONTROL.oldest)) | 0) >= 0;
    return isNotOld && ((place - Atomics.load(words, CONTROL.written)) | 0) < 0;
  }

  /**
   * The same without an atomic load, which holds up this core. It is enough before an entry is read, since {@link isThere}
   * is asked after it.
   */
  #seemsThere(place: number): boolean {
    const words = this.#words;
    const isNotOld = ((place - (words[CONTROL.oldest] as number)) | 0) >= 0;
    return isNotOld && ((place - (words[CONTROL.written] as number)) | 0) < 0;
  }

  rcode(place: number): number {
    return this.#word(place, HEAD.verdict) & 15;
  }

  isAuthentic(place: number): boolean {
    return (this.#word(place, HEAD.verdict) & AUTHENTIC) !== 0;
  }

  bodyBytes(place: number): number {
    return this.#word(place, HEAD.bodyBytes);
  }

  answers(place: number): number {
    return this.#word(place, HEAD.counts) >>> 16;
  }

  authorities(place: number): number {
    return this.#word(place, HEAD.counts) & 0xffff;
  }

  additionals(place: number): number {
    return this.#word(place, HEAD.additionals);
  }

  /** Copies the body, `bodyBytes` of it, to `to`, its TTLs lowered by its age; of one whose time is over they are short. */
  copyBody(place: number, bodyBytes: number, view: DataView, to: number): void {
    const words = this.#words;
    const at = LOG_AT + (place & LOG_MASK);
    const ttls = words[at + HEAD.ttls] as number;
    const ttlsAt = at + HEAD_WORDS + wordsOf(words[at + HEAD.nameBytes] as number);
    const from = (ttlsAt + ttls) * 4;
    // A word at a time: typed arrays need an alignment that neither side has.
    const whole = bodyBytes & ~3;
    for (let i = 0; i < whole; i += 4) view.setInt32(to + i, this.#view.getInt32(from + i, true), true);
    for (let i = whole; i < bodyBytes; i++) view.setUint8(to + i, this.#view.getUint8(from + i));
    const nowSeconds = words[CONTROL.nowSeconds] as number;
    const age = nowSeconds - (words[at + HEAD.storedAt] as number);
    const isFresh = nowSeconds < (words[at + HEAD.freshUntil] as number);
    for (let i = 0; i < ttls; i++) {
      const inBody = words[ttlsAt + i] as number;
      // Only an entry that is being overwritten has such a value, and it is not used.
      if (inBody < 0 || inBody + 4 > bodyBytes) return;
      const ttlAt = to + inBody;
      // A TTL with its highest bit set means zero (RFC 2181 §8).
      const ttl = view.getInt32(ttlAt);
      const left = ttl > age ? ttl - age : 0;
      view.setInt32(ttlAt, isFresh ? left : STALE_TTL_SECONDS);
    }
  }

  #word(place: number, head: number): number {
    return this.#words[LOG_AT + (place & LOG_MASK) + head] as number;
  }

  /** Whether the entry answers the question: the same name, type, DO, CD and RD; the class is always IN. */
  #isOf(place: number, question: Question): boolean {
    const words = this.#words;
    const at = LOG_AT + (place & LOG_MASK);
    if (words[at + HEAD.asked] !== askedWord(question)) return false;
    if (words[at + HEAD.nameBytes] !== question.nameBytes) return false;
    const nameWords = wordsOf(question.nameBytes);
    for (let i = 0; i < nameWords; i++) {
      if (words[at + HEAD_WORDS + i] !== question.nameWords[i]) return false;
    }
    return true;
  }

  /** Makes room for an entry of that many words and gives its place; what stood there is outdated before. */
  #reserve(size: number): number {
    const words = this.#words;
    let place = Atomics.load(words, CONTROL.written);
    // An entry is never cut in two by the log's end.
    if ((place & LOG_MASK) + size > LOG_WORDS) place = (place + LOG_WORDS - (place & LOG_MASK)) | 0;
    const end = (place + size - LOG_WORDS) | 0;
    if (((end + MARGIN_WORDS - Atomics.load(words, CONTROL.oldest)) | 0) > 0) {
      const oldest = (end + 2 * MARGIN_WORDS) | 0;
      // Places are compared by their difference, so none that counts may fall far behind.
      const isBehind = ((Atomics.load(words, CONTROL.freshFrom) - oldest) | 0) < 0;
      if (isBehind) Atomics.store(words, CONTROL.freshFrom, oldest);
      Atomics.store(words, CONTROL.oldest, oldest);
    }
    // Place 0 means an empty slot.
    if (place !== 0) return place;
    Atomics.store(words, CONTROL.written, size);
    return size;
  }

  /** The slot that the question has, or may take: an empty one of its bucket, else that of the oldest entry. */
  #slotFor(question: Question): number {
    const words = this.#words;
    const hash = hashOf(question);
    const bucket = bucketOf(hash);
    let chosen = bucket;
    let chosenAge = -1;
    for (let slot = bucket; slot < bucket + BUCKET_SLOTS * 2; slot += 2) {
      const place = words[slot + 1] as number;
      const isThere = place !== 0 && this.isThere(place);
      if (isThere && words[slot] === hash && this.#isOf(place, question)) return slot;
      const age = isThere ? (Atomics.load(words, CONTROL.written) - place) | 0 : LOG_WORDS;
      if (age > chosenAge) {
        chosen = slot;
        chosenAge = age;
      }
    }
    return chosen;
  }
}

function askedWord(question: Question): number {
  const flags = (question.isDnssecOk ? 1 : 0) | (question.flags & (FLAG.CD | FLAG.RD));
  return (question.type << 16) | flags;
}

function hashOf(question: Question): number {
  return Math.imul(question.hash ^ askedWord(question), 0x85ebca6b) | 0;
}

function bucketOf(hash: number): number {
  return CONTROL_WORDS + ((hash >>> 13) & BUCKET_MASK) * BUCKET_SLOTS * 2;
}

function wordsOf(bytes: number): number {
  return (bytes + 3) >>> 2;
}
