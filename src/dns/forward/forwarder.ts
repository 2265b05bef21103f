import type { Endpoint } from "../../model/address.ts";
import type { Clock } from "../../system/host.ts";
import { Latency } from "../telemetry/counters.ts";
import { UpstreamExchange, type Noise } from "./upstream-exchange.ts";
import type { UpstreamAnswer, UpstreamQuestion } from "../wire/upstream-message.ts";
import { RCODE } from "../wire/wire.ts";

export interface ForwarderOptions {
  /** the resolvers to ask, best first; asked for before each question */
  readonly resolvers: () => Promise<readonly Endpoint[]>;
  readonly clock: Clock;
  /** called for each packet of a resolver that is no answer, or a malformed one; it is ignored */
  readonly onNoise?: (kind: Noise, endpoint: Endpoint) => void;
  /** how long a question may take in all */
  readonly deadlineMs?: number;
  readonly maxInFlight?: number;
}

/** What was asked of resolvers so far. */
export interface ForwarderCounts {
  asked: number;
  failed: number;
  /** turned away because too many were under way */
  overload: number;
  /** equal to a question under way, and answered with it */
  joined: number;
  /** packets that were no answer to any question: late, doubled, or forged */
  junk: number;
  /** answers that could not be read */
  malformed: number;
  readonly inFlight: number;
}

const DEADLINE_MS = 4_500;
const MAX_IN_FLIGHT = 2_048;
/** Askers that wait for answers, of all questions together. */
const MAX_WAITING = 16_384;

/** The next resolver is asked too when this one takes longer than usual; these are the bounds of that wait. */
const SHORTEST_WAIT_MS = 150;
const LONGEST_WAIT_MS = 600;

/** A resolver that did not answer is asked last for this long. */
const DISTRUST_MS = 10_000;

/** All were asked and none answered: they are asked again after this. */
const AGAIN_MS = 1_000;

interface Resolver {
  readonly exchange: UpstreamExchange;
  /** smoothed time that answers take */
  usualMs: number;
  distrustedUntilMs: number;
}

/**
 * Asks the system's resolvers. The first that works is asked first. When it is slow or fails, the next one is asked at once.
 * Equal questions under way are asked once.
 */
export class Forwarder {
  readonly #options: ForwarderOptions;
  #resolvers: readonly Resolver[] = [];
  readonly #underWay = new Map<string, Promise<UpstreamAnswer | undefined>>();
  #waiting = 0;
  readonly #stop = new AbortController();
  readonly counts: ForwarderCounts;
  /** what resolvers' answers took, failures included */
  readonly latency = new Latency();

  constructor(options: ForwarderOptions) {
    this.#options = options;
    const underWay = this.#underWay;
    this.counts = {
      asked: 0,
      failed: 0,
      overload: 0,
      joined: 0,
      junk: 0,
      malformed: 0,
      get inFlight() {
        return underWay.size;
      },
    };
  }

  /** The resolvers as they were known last, and whether each is trusted just now. */
  get resolvers(): readonly { readonly endpoint: Endpoint; readonly isTrusted: boolean }[] {
    const nowMs = this.#options.clock.monotonicMs();
    return this.#resolvers.map(({ exchange, distrustedUntilMs }) => ({
      endpoint: exchange.endpoint,
      isTrusted: distrustedUntilMs <= nowMs,
    }));
  }

  /** Whether some resolver has answered lately, or none was asked so far. */
  get isHopeful(): boolean {
    return this.#resolvers.length === 0 || this.resolvers.some(({ isTrusted }) => isTrusted);
  }

  /**
   * The answer of a resolver; undefined when none gave one, or too much is under way. Never rejects. `keep` is called with
   * it once, however many have asked the same.
   */
  async ask(
    key: string,
    question: UpstreamQuestion,
    keep: (answer: UpstreamAnswer) => void = () => undefined,
  ): Promise<UpstreamAnswer | undefined> {
    if (this.#waiting >= MAX_WAITING) {
      this.counts.overload++;
      return undefined;
    }
    this.#waiting++;
    try {
      return await this.#askOnce(key, question, keep);
    } finally {
      this.#waiting--;
    }
  }

  close(): void {
    this.#stop.abort(new Error("the forwarder was closed"));
    for (const { exchange } of this.#resolvers) exchange.close();
  }

  #askOnce(
    key: string,
    question: UpstreamQuestion,
    keep: (answer: UpstreamAnswer) => void,
  ): Promise<UpstreamAnswer | undefined> {
    const known = this.#underWay.get(key);
    if (known !== undefined) {
      this.counts.joined++;
      return known;
    }
    if (this.#underWay.size >= (this.#options.maxInFlight ?? MAX_IN_FLIGHT)) {
      this.counts.overload++;
      return Promise.resolve(undefined);
    }
    const asked = this.#ask(question);
    this.#underWay.set(key, asked);
    return asked
      .then((answer) => {
        if (answer !== undefined) keep(answer);
        return answer;
      })
      .finally(() => this.#underWay.delete(key));
  }

  async #ask(question: UpstreamQuestion): Promise<UpstreamAnswer | undefined> {
    const resolvers = await this.#inOrder();
    if (resolvers.length === 0) {
      this.counts.failed++;
      return undefined;
    }
    const race = new Race(resolvers, question, this.#options, this.#stop.signal);
    this.counts.asked++;
    const startMs = this.#options.clock.monotonicMs();
    const answer = await race.run();
    this.latency.observe((this.#options.clock.monotonicMs() - startMs) / 1000);
    if (answer === undefined) this.counts.failed++;
    return answer;
  }

  #exchangeWith(endpoint: Endpoint): UpstreamExchange {
    return new UpstreamExchange(endpoint, (kind) => {
      this.counts[kind]++;
      this.#options.onNoise?.(kind, endpoint);
    });
  }

  /** Those that are trusted in their order, then the others. */
  async #inOrder(): Promise<readonly Resolver[]> {
    const endpoints = await this.#options.resolvers().catch(() => []);
    if (endpoints.join(" ") !== this.#resolvers.map(({ exchange }) => exchange.endpoint).join(" ")) {
      const known = new Map(this.#resolvers.map((resolver) => [resolver.exchange.endpoint, resolver]));
      this.#resolvers = endpoints.map((endpoint) => {
        const resolver = known.get(endpoint);
        known.delete(endpoint);
        return resolver ?? { exchange: this.#exchangeWith(endpoint), usualMs: 50, distrustedUntilMs: 0 };
      });
      for (const { exchange } of known.values()) exchange.close();
    }
    const nowMs = this.#options.clock.monotonicMs();
    const isTrusted = ({ distrustedUntilMs }: Resolver): boolean => distrustedUntilMs <= nowMs;
    return [...this.#resolvers.filter(isTrusted), ...this.#resolvers.filter((resolver) => !isTrusted(resolver))];
  }
}

/** One question on its way to the resolvers. */
class Race {
  readonly #resolvers: readonly Resolver[];
  readonly #question: UpstreamQuestion;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #ends = new AbortController();
  readonly #signal: AbortSignal;
  /** a resolver's answer that it failed; given when no other answers */
  #failure: UpstreamAnswer | undefined;
  #answer: UpstreamAnswer | undefined;
  #answeredBy: Resolver | undefined;
  /** called when something has happened */
  #wake = (): void => {};

  constructor(
    resolvers: readonly Resolver[],
    question: UpstreamQuestion,
    options: Pick<ForwarderOptions, "clock" | "deadlineMs">,
    stop: AbortSignal,
  ) {
    this.#resolvers = resolvers;
    this.#question = question;
    this.#clock = options.clock;
    this.#deadlineMs = options.clock.monotonicMs() + (options.deadlineMs ?? DEADLINE_MS);
    this.#signal = AbortSignal.any([stop, this.#ends.signal]);
  }

  async run(): Promise<UpstreamAnswer | undefined> {
    try {
      let open = 0;
      let failures = 0;
      for (let turn = 0; ; turn++) {
        const resolver = this.#resolvers[turn % this.#resolvers.length] as Resolver;
        const isLast = (turn + 1) % this.#resolvers.length === 0;
        const asked = { hasFailed: false };
        open++;
        void this.#askOne(resolver).then((isAnswer) => {
          open--;
          if (!isAnswer) failures++;
          asked.hasFailed = !isAnswer;
          this.#wake();
        });
        const usualMs = Math.min(LONGEST_WAIT_MS, Math.max(SHORTEST_WAIT_MS, resolver.usualMs * 3));
        await this.#sleep(isLast ? AGAIN_MS : usualMs, () => asked.hasFailed && (!isLast || open === 0));
        if (this.#answer !== undefined) return this.#answer;
        // Every resolver has said that it cannot: that is the answer.
        if (open === 0 && failures >= this.#resolvers.length && this.#failure !== undefined) return this.#failure;
        if (this.#clock.monotonicMs() >= this.#deadlineMs || this.#signal.aborted) return this.#failure;
        if (isLast && open === 0) await this.#sleep(SHORTEST_WAIT_MS, () => false);
      }
    } finally {
      this.#ends.abort(new Error("answered"));
    }
  }

  /** Asks one resolver and takes its answer; false when it failed. */
  async #askOne(resolver: Resolver): Promise<boolean> {
    const startMs = this.#clock.monotonicMs();
    try {
      const answer = await resolver.exchange.ask(this.#question, this.#signal);
      const tookMs = this.#clock.monotonicMs() - startMs;
      resolver.usualMs += (tookMs - resolver.usualMs) / 8;
      const isUseless =
        answer.rcode === RCODE.SERVFAIL || answer.rcode === RCODE.REFUSED || answer.rcode === RCODE.NOTIMP;
      if (isUseless) {
        this.#failure ??= answer;
        return false;
      }
      resolver.distrustedUntilMs = 0;
      this.#answer ??= answer;
      this.#answeredBy ??= resolver;
      return true;
    } catch {
      // It may have ended because another was faster. Only one that had its time is distrusted.
      const waitedMs = this.#clock.monotonicMs() - startMs;
      const wasGivenTime = waitedMs >= SHORTEST_WAIT_MS || !this.#signal.aborted;
      if (wasGivenTime && this.#answeredBy !== resolver)
        resolver.distrustedUntilMs = this.#clock.monotonicMs() + DISTRUST_MS;
      return false;
    }
  }

  /** Sleeps until an answer is there, `isOver` says so, the time is up or the deadline has come. */
  async #sleep(ms: number, isOver: () => boolean): Promise<void> {
    const leftMs = Math.min(ms, this.#deadlineMs - this.#clock.monotonicMs());
    if (leftMs <= 0 || this.#answer !== undefined || isOver()) return;
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = () => {
        if (this.#answer !== undefined || isOver()) resolve();
      };
    });
    const slept = this.#clock.sleep(leftMs, AbortSignal.any([timer.signal, this.#signal])).catch(() => undefined);
    await Promise.race([woken, slept]);
    timer.abort();
  }
}
