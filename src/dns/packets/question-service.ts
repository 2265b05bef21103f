import type { Clock } from "../../system/host.ts";
import type { AnswerCache } from "../forward/answer-cache.ts";
import { COUNTER, type Counters } from "../telemetry/counters.ts";
import type { Forwarder } from "../forward/forwarder.ts";
import type { Question } from "../wire/question.ts";
import { ASK_ZONE, FORWARD, Responder, writeOpt } from "./responder.ts";
import type { ClusterRange } from "../wire/reverse.ts";
import { SourceLimit } from "../forward/source-limit.ts";
import { TableReader } from "../zone/table.ts";
import { NO_ANSWER, type UpstreamAnswer } from "../wire/upstream-message.ts";
import { FLAG, HEADER_BYTES, MAX_MESSAGE_BYTES, OPT_BYTES, RCODE } from "../wire/wire.ts";
import { answerFromZone } from "../zone/zone-answers.ts";
import type { Recorder, Zone } from "../zone/zone.ts";

export interface QuestionServiceOptions {
  readonly seed: number;
  readonly cluster: ClusterRange;
  readonly zone: Zone;
  readonly ttlSeconds: () => number;
  readonly forwarder: Forwarder;
  readonly limit: SourceLimit;
  readonly counters: Counters;
  readonly cache: AnswerCache;
  readonly clock: Clock;
}

/** After this long an expired answer is given instead of waiting for the resolvers (RFC 8767 §5). */
const STALE_AFTER_MS = 1_800;
/** The same when none of them has answered lately. */
const HOPELESS_AFTER_MS = 100;

/**
 * SRV and TXT of a service with ten thousand containers take 5 to 25 ms. Long answers are charged to who asked, so that one
 * address gets a tenth of this thread's time at most: 100 ms a second, after a burst of 400 ms.
 */
const LONG_MS = 1;
const QUESTIONS_PER_MS = 5;

/** Questions that may wait while a snapshot replaces the last one; further ones are dropped. */
const MAX_WAITING = 1_024;

/**
 * Answers what the packet loop does not: everything over TCP, records that are not in the table, and, by asking the
 * resolvers, names that are not ours.
 */
export class QuestionService {
  readonly #options: QuestionServiceOptions;
  readonly #responder: Responder;
  readonly #effort: SourceLimit;
  #waiting = 0;
  readonly #bytes = new Uint8Array(2 * MAX_MESSAGE_BYTES + 8);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(options: QuestionServiceOptions) {
    this.#options = options;
    this.#responder = new Responder(options.seed, options.cluster, options.cache);
    this.#effort = new SourceLimit(options.clock);
  }

  useTable(table: SharedArrayBuffer): void {
    this.#responder.use(new TableReader(table));
  }

  /** The answer to a message; undefined when it gets none. Never rejects. */
  async answer(message: Uint8Array, address: number, isTcp: boolean): Promise<Uint8Array | undefined> {
    const { counters } = this.#options;
    const responder = this.#responder;
    this.#bytes.set(message);
    const answered = responder.answer(this.#view, 0, message.length, isTcp);
    if (answered > 0) {
      // Over UDP the packet loop has counted the question already.
      if (isTcp) counters.question(responder.question.type);
      counters.answer(responder.rcode);
      if (responder.isCached) counters.add(COUNTER.cacheHits);
      return this.#bytes.slice(0, answered);
    }
    if (answered !== ASK_ZONE && answered !== FORWARD) return undefined;
    const { zone } = this.#options;
    if (answered === ASK_ZONE && zone.turning !== undefined) {
      if (this.#waiting >= MAX_WAITING) {
        counters.add(COUNTER.droppedBusy);
        return undefined;
      }
      this.#waiting++;
      await zone.settled();
      this.#waiting--;
      return await this.answer(message, address, isTcp);
    }
    if (isTcp) counters.question(responder.question.type);
    return answered === ASK_ZONE ? this.#askZone(address, isTcp) : await this.#forward(message, address, isTcp);
  }

  #askZone(address: number, isTcp: boolean): Uint8Array | undefined {
    const { clock, counters } = this.#options;
    if (!this.#effort.isOpen(address)) {
      counters.add(COUNTER.droppedRate);
      return undefined;
    }
    const startMs = clock.monotonicMs();
    const { zone, ttlSeconds } = this.#options;
    const { rcode, message } = answerAsked(this.#responder, this.#bytes, isTcp, zone, ttlSeconds());
    counters.answer(rcode);
    const tookMs = clock.monotonicMs() - startMs;
    if (tookMs >= LONG_MS) this.#effort.charge(address, tookMs * QUESTIONS_PER_MS);
    return message;
  }

  async #forward(message: Uint8Array, address: number, isTcp: boolean): Promise<Uint8Array | undefined> {
    const { limit, counters, cache } = this.#options;
    if (!limit.take(address)) {
      counters.add(COUNTER.droppedRate);
      return undefined;
    }
    const question = this.#responder.question.copy();
    const head = message.slice(0, question.end);
    const asker = askerOf(question, this.#responder.limit(isTcp));
    const hasStale = cache.find(question, true) !== 0;
    const answer = await this.#askResolvers(question, head, hasStale);
    if (hasStale && !isUseful(answer)) {
      const stale = this.#answerStale(message, isTcp);
      if (stale !== undefined) return stale;
    }
    counters.answer(answer?.rcode ?? RCODE.SERVFAIL);
    return composeAnswer(head, asker, answer ?? NO_ANSWER, 0);
  }

  /** What resolvers say; undefined when they do not answer, or not soon and there is an expired answer. */
  async #askResolvers(question: Question, head: Uint8Array, hasStale: boolean): Promise<UpstreamAnswer | undefined> {
    const { forwarder, cache, clock } = this.#options;
    const waitMs = forwarder.isHopeful ? STALE_AFTER_MS : HOPELESS_AFTER_MS;
    const upstream = {
      name: head.slice(HEADER_BYTES, head.length - 4),
      type: question.type,
      isDnssecOk: question.isDnssecOk,
      isCheckingDisabled: (question.flags & FLAG.CD) !== 0,
      isRecursionDesired: (question.flags & FLAG.RD) !== 0,
    };
    const asked = forwarder.ask(keyOf(question), upstream, (answer) => {
      // A failure must not replace an answer that could be given instead of it.
      if (isUseful(answer) || cache.find(question, true) === 0) cache.put(question, answer);
    });
    if (!hasStale) return await asked;
    const timer = new AbortController();
    const late = clock.sleep(waitMs, timer.signal).catch(() => undefined);
    const answer = await Promise.race([asked, late]);
    timer.abort();
    return answer ?? undefined;
  }

  #answerStale(message: Uint8Array, isTcp: boolean): Uint8Array | undefined {
    const { counters } = this.#options;
    this.#bytes.set(message);
    const length = this.#responder.answerStale(this.#view, 0, message.length, isTcp);
    if (length <= 0) return undefined;
    counters.answer(this.#responder.rcode);
    counters.add(COUNTER.staleAnswers);
    return this.#bytes.slice(0, length);
  }
}

/** After {@link ASK_ZONE}: the whole answer to the question that the responder has read at the beginning of `bytes`. */
export function answerAsked(
  responder: Responder,
  bytes: Uint8Array,
  isTcp: boolean,
  zone: Zone,
  ttlSeconds: number,
  record?: Recorder,
): { readonly rcode: number; readonly message: Uint8Array } {
  const { question } = responder;
  const head = bytes.slice(0, question.end);
  const answer = answerFromZone(zone, question, head, ttlSeconds, record);
  if (answer.kind !== "records") {
    const rcode = answer.kind === "nodata" ? RCODE.NOERROR : RCODE.NXDOMAIN;
    const length = responder.answerNothing(new DataView(bytes.buffer), 0, rcode);
    return { rcode, message: bytes.slice(0, length) };
  }
  const asker = askerOf(question, responder.limit(isTcp));
  // Addresses of places are a courtesy: an answer without them is whole (RFC 2181 §9).
  const fits = answer.message.length + optBytesOf(asker) <= asker.limit;
  const found: UpstreamAnswer = {
    ...NO_ANSWER,
    rcode: RCODE.NOERROR,
    body: answer.message.bytes().slice(question.end, fits ? undefined : answer.answersEnd),
    answers: answer.answers,
    additionals: fits ? answer.additionals : 0,
  };
  return { rcode: RCODE.NOERROR, message: composeAnswer(head, asker, found, FLAG.AA) };
}

/** Whether an answer is about the name, and not about a failure of the resolver. */
function isUseful(answer: UpstreamAnswer | undefined): boolean {
  return answer?.rcode === RCODE.NOERROR || answer?.rcode === RCODE.NXDOMAIN;
}

/** The part of a question that its answer depends on, kept while other questions are read. */
interface Asker {
  readonly hasOpt: boolean;
  readonly isDnssecOk: boolean;
  readonly limit: number;
}

function askerOf(question: Question, limit: number): Asker {
  return { hasOpt: question.hasOpt, isDnssecOk: question.isDnssecOk, limit };
}

function optBytesOf(asker: Asker): number {
  return asker.hasOpt ? OPT_BYTES : 0;
}

/** Questions with one key have one answer: name, type, DO, CD, RD; the class is always IN. */
function keyOf(question: Question): string {
  const name = Buffer.from(question.name.buffer, 0, question.nameBytes).toString("latin1");
  const flags = (question.isDnssecOk ? 1 : 0) | (question.flags & (FLAG.CD | FLAG.RD));
  return `${question.type} ${flags} ${name}`;
}

/**
 * The answer for one asker: the question as it came, then what was found; nothing but TC when that does not fit (RFC 2181
 * §9).
 */
export function composeAnswer(head: Uint8Array, asker: Asker, found: UpstreamAnswer, flags: number): Uint8Array {
  const optBytes = optBytesOf(asker);
  const fits = head.length + found.body.length + optBytes <= asker.limit;
  const isWhole = fits && !found.isTruncated;
  const length = head.length + (fits ? found.body.length : 0);
  const bytes = new Uint8Array(length + optBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(head);
  if (fits) bytes.set(found.body, head.length);
  const asked = view.getUint16(2);
  const wantsAuthentic = asker.isDnssecOk || (asked & FLAG.AD) !== 0;
  const authentic = found.isAuthentic && wantsAuthentic ? FLAG.AD : 0;
  const copied = asked & (FLAG.RD | FLAG.CD);
  view.setUint16(2, FLAG.QR | copied | FLAG.RA | flags | authentic | (isWhole ? 0 : FLAG.TC) | found.rcode);
  view.setUint16(6, fits ? found.answers : 0);
  view.setUint16(8, fits ? found.authorities : 0);
  view.setUint16(10, (fits ? found.additionals : 0) + (asker.hasOpt ? 1 : 0));
  if (asker.hasOpt) writeOpt(view, length, found.rcode, asker.isDnssecOk);
  return bytes;
}
