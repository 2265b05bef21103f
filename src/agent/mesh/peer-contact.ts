import type { Packet, Probe } from "./packet.ts";

/** How often a pair of servers speaks, and what silence means; ms. */
export interface ProbeTiming {
  /** one exchange per pair in this time */
  readonly periodMs: number;
  /** each exchange is shifted by up to this in both directions, so that a mesh's probes do not fall into step */
  readonly jitterMs: number;
  /** a probe is missed when it has no answer for twice the usual round trip and this */
  readonly missMs: number;
  /** a missed probe is followed by others at this distance, from both sides, over a socket that hears of refused ports */
  readonly retryMs: number;
  /** without any proof for so long a peer with a round trip of up to {@link LONG_ROUND_TRIP_MS} is lost */
  readonly lostMs: number;
  /** probes that are due within this time leave together: a wake-up costs more than a datagram */
  readonly lookMs: number;
  /**
   * Probes that come in wait until the next look, too. What a probe proves counts from when it came, so that looking late
   * hides nobody; it only comes back a little later.
   */
  readonly isBatched: boolean;
}

const SMALL_MESH: ProbeTiming = {
  ...{ periodMs: 500, jitterMs: 25, missMs: 100, retryMs: 100, lostMs: 1_300 },
  ...{ lookMs: 50, isBatched: false },
};
const MIDDLE_MESH: ProbeTiming = { ...SMALL_MESH, missMs: 150, isBatched: true };
const LARGE_MESH: ProbeTiming = {
  ...{ periodMs: 1_000, jitterMs: 50, missMs: 700, retryMs: 500, lostMs: 3_700 },
  ...{ lookMs: 200, isBatched: true },
};

/** Probes cost as much as there are members, this server included, so a large mesh probes and looks more rarely. */
export function timingOf(members: number): ProbeTiming {
  if (members <= 16) return SMALL_MESH;
  return members <= 50 ? MIDDLE_MESH : LARGE_MESH;
}

/** Above this too few retries would come back in time. */
const LONG_ROUND_TRIP_MS = 150;

/** A probe is missed after this in any case. */
const LONGEST_MISS_MS = 700;

/** Losses within this time of the one before are one flapping. */
const FLAP_WINDOW_MS = 60_000;
const FIRST_HOLD_MS = 2_000;
const LONGEST_HOLD_MS = 30_000;

const REMEMBERED_PROBES = 8;
const LOSS_WINDOW = 64;

/** How long a peer that has just been lost for the n-th time in a row waits after it is heard again. */
export function holdMs(losses: number): number {
  return losses < 2 ? 0 : Math.min(LONGEST_HOLD_MS, FIRST_HOLD_MS * 2 ** (losses - 2));
}

/** A ping that has to leave now; `isDirect`: over a socket of its own, that hears of a refused port. */
interface DuePing {
  readonly packet: Packet;
  readonly isDirect: boolean;
}

/**
 * What is known of one peer. Contact is proved when it answers a ping, or when its ping says that it has heard a pong: both
 * directions work then.
 */
export class PeerContact {
  readonly #starts: boolean;
  readonly #random: () => number;
  readonly #sent = new ProbeTimes();
  readonly #answered = new ProbeTimes();
  readonly #outcomes: boolean[] = [];
  #sequence: number;
  #heardSequence = 0;
  #provedAtMs: number;
  #isLost: boolean;
  #losses = 0;
  #lostAtMs = Number.NEGATIVE_INFINITY;
  #countsFromMs = Number.NEGATIVE_INFINITY;
  #pingAtMs: number;
  #suspicionAtMs = Number.NEGATIVE_INFINITY;
  #hasFollowedUp = false;
  #timing: ProbeTiming;

  /** {@link tick} has nothing to do before this time */
  dueAtMs: number;
  isReady = true;
  isAgentDown = false;
  roundTripMs: number | undefined;

  /** @param starts whether this side starts the exchanges @param isLost it was unreachable already */
  constructor(starts: boolean, nowMs: number, timing: ProbeTiming, random: () => number, isLost: boolean) {
    this.#starts = starts;
    this.#timing = timing;
    this.#random = random;
    this.#isLost = isLost;
    this.#provedAtMs = isLost ? Number.NEGATIVE_INFINITY : nowMs;
    this.#sequence = 1 + Math.floor(random() * 0x7fff_ffff);
    this.#pingAtMs = starts ? nowMs + random() * timing.periodMs : Number.POSITIVE_INFINITY;
    this.dueAtMs = this.#nextDueMs();
  }

  /** Takes over another timing, from the next exchange on. */
  setTiming(timing: ProbeTiming): void {
    this.#timing = timing;
  }

  /** Without any proof for so long this peer is lost. */
  get lostMs(): number {
    return (this.roundTripMs ?? Number.POSITIVE_INFINITY) <= LONG_ROUND_TRIP_MS
      ? this.#timing.lostMs
      : LARGE_MESH.lostMs;
  }

  /** Without any proof for so long, each side asks by itself. */
  get #suspicionMs(): number {
    const { periodMs, jitterMs } = this.#timing;
    return periodMs + jitterMs + this.#missMs;
  }

  /** A probe without an answer for so long is missed. */
  get #missMs(): number {
    if (this.roundTripMs === undefined) return LONGEST_MISS_MS;
    return Math.min(LONGEST_MISS_MS, 2 * this.roundTripMs + this.#timing.missMs);
  }

  /** Heard, or silent so lately that it is not lost yet. */
  get isHeard(): boolean {
    return !this.#isLost;
  }

  /** Everything that a verdict depends on, as one comparable value. */
  get standing(): number {
    return (this.#isLost ? 1 : 0) + (this.isReady ? 2 : 0) + (this.#countsFromMs > 0 ? 4 : 0);
  }

  /** Heard, and for long enough if it was lost again and again. */
  isReachable(nowMs: number): boolean {
    return !this.#isLost && nowMs >= this.#countsFromMs;
  }

  /** Not reachable, or silent for so long that it may have fallen silent together with all others. */
  isSilent(nowMs: number): boolean {
    return (
      !this.isReachable(nowMs) ||
      nowMs - this.#provedAtMs >= this.lostMs - this.#timing.periodMs - 2 * this.#timing.jitterMs
    );
  }

  get lossPercent(): number | null {
    if (this.#outcomes.length === 0) return null;
    const lost = this.#outcomes.filter((wasAnswered) => !wasAnswered).length;
    return Math.round((lost * 1000) / this.#outcomes.length) / 10;
  }

  /** @param waitedMs how long the probe lay unread */
  receive(probe: Probe, isSelfReady: boolean, nowMs: number, waitedMs: number): readonly Packet[] {
    const isPing = probe.type === "ping";
    return isPing ? this.#answer(probe, isSelfReady, nowMs, waitedMs) : this.#take(probe, isSelfReady, nowMs, waitedMs);
  }

  #answer(ping: Probe, isSelfReady: boolean, nowMs: number, waitedMs: number): readonly Packet[] {
    const answeredAtMs = this.#answered.get(ping.heard);
    const receivedAtMs = nowMs - waitedMs;
    if (answeredAtMs !== undefined && nowMs - answeredAtMs < this.#suspicionMs + this.#timing.jitterMs) {
      this.#prove(receivedAtMs);
      if (!this.#starts && ping.roundTripMs !== undefined) this.roundTripMs = ping.roundTripMs;
    }
    this.#hear(ping);
    this.#answered.add(ping.sequence, nowMs);
    const isConfirmed = nowMs - this.#provedAtMs < this.#timing.periodMs + this.#missMs && !this.#isLost;
    const { sequence } = ping;
    return [{ type: "pong", isReady: isSelfReady, isConfirmed, sequence, heard: 0, roundTripMs: waitedMs }];
  }

  #take(pong: Probe, isSelfReady: boolean, nowMs: number, waitedMs: number): readonly Packet[] {
    const sentAtMs = this.#sent.take(pong.sequence);
    if (sentAtMs === undefined) return [];
    this.#record(true);
    this.roundTripMs = Math.max(0, nowMs - waitedMs - sentAtMs - (pong.roundTripMs ?? 0));
    this.#heardSequence = pong.sequence;
    this.#prove(nowMs - waitedMs);
    this.#hear(pong);
    // The other side does not know yet that it is heard. It is told at once, not with the next exchange.
    if (pong.isConfirmed || this.#hasFollowedUp) return [];
    this.#hasFollowedUp = true;
    return [this.ping(isSelfReady, nowMs)];
  }

  #hear(probe: Probe): void {
    this.isAgentDown = false;
    this.isReady = probe.isReady;
  }

  /** A proof only delays what is due, as {@link tick} finds out; a return brings it nearer. */
  #prove(atMs: number): void {
    this.#provedAtMs = Math.max(this.#provedAtMs, atMs);
    if (!this.#isLost) return;
    this.#isLost = false;
    this.#countsFromMs = atMs + holdMs(this.#losses);
    this.dueAtMs = this.#nextDueMs();
  }

  refused(nowMs: number): void {
    this.isAgentDown = true;
    if (!this.#isLost) this.#provedAtMs = nowMs;
  }

  /**
   * This process did not run for a while, and could hear nothing. All times move on by that, but never beyond now.
   */
  forgive(ms: number, nowMs: number): void {
    this.#provedAtMs = Math.min(nowMs, this.#provedAtMs + ms);
    this.#sent.shiftBy(ms, nowMs);
  }

  /** Lets time pass; gives the ping that is due, if one is. */
  tick(isSelfReady: boolean, nowMs: number): DuePing | undefined {
    const due = this.#tick(isSelfReady, nowMs);
    this.dueAtMs = this.#nextDueMs();
    return due;
  }

  #tick(isSelfReady: boolean, nowMs: number): DuePing | undefined {
    if (nowMs >= this.#countsFromMs) this.#countsFromMs = Number.NEGATIVE_INFINITY;
    if (!this.#isLost && nowMs - this.#provedAtMs >= this.lostMs) this.#lose(nowMs);
    for (let missed = this.#sent.dropUntil(nowMs - this.lostMs); missed > 0; missed--) this.#record(false);
    if (!this.#isLost && nowMs - this.#provedAtMs >= this.#suspicionMs && nowMs >= this.#suspicionAtMs) {
      this.#suspicionAtMs = nowMs + this.#timing.retryMs;
      return { packet: this.ping(isSelfReady, nowMs), isDirect: true };
    }
    if (nowMs < this.#pingAtMs) return undefined;
    // Counted from when it was due: a late tick must not make the exchanges rarer.
    const { periodMs, jitterMs } = this.#timing;
    const dueAtMs = Math.max(this.#pingAtMs, nowMs - periodMs / 2);
    this.#pingAtMs = dueAtMs + periodMs + (this.#random() * 2 - 1) * jitterMs;
    this.#hasFollowedUp = false;
    return { packet: this.ping(isSelfReady, nowMs), isDirect: false };
  }

  #nextDueMs(): number {
    if (this.#isLost) return this.#pingAtMs;
    const suspicionAtMs = Math.max(this.#provedAtMs + this.#suspicionMs, this.#suspicionAtMs);
    const countsFromMs = this.#countsFromMs > 0 ? this.#countsFromMs : Number.POSITIVE_INFINITY;
    return Math.min(this.#pingAtMs, suspicionAtMs, this.#provedAtMs + this.lostMs, countsFromMs);
  }

  /** A ping out of turn. */
  ping(isSelfReady: boolean, nowMs: number): Packet {
    this.#sequence = this.#sequence >= 0xffff_ffff ? 1 : this.#sequence + 1;
    if (this.#sent.add(this.#sequence, nowMs)) this.#record(false);
    return {
      type: "ping",
      isReady: isSelfReady,
      isConfirmed: false,
      sequence: this.#sequence,
      heard: this.#heardSequence,
      roundTripMs: this.roundTripMs,
    };
  }

  #lose(nowMs: number): void {
    this.#isLost = true;
    this.#losses = nowMs - this.#lostAtMs <= FLAP_WINDOW_MS ? this.#losses + 1 : 1;
    this.#lostAtMs = nowMs;
    this.#heardSequence = 0;
    this.#answered.clear();
  }

  #record(wasAnswered: boolean): void {
    this.#outcomes.push(wasAnswered);
    if (this.#outcomes.length > LOSS_WINDOW) this.#outcomes.shift();
  }
}

/** When the latest few probes were sent, or answered. Arrays: a map costs more than it saves with so few. */
class ProbeTimes {
  readonly #sequences: number[] = [];
  readonly #times: number[] = [];

  /** Gives whether an older one had to go. */
  add(sequence: number, atMs: number): boolean {
    this.#sequences.push(sequence);
    this.#times.push(atMs);
    if (this.#sequences.length <= REMEMBERED_PROBES) return false;
    this.#sequences.shift();
    this.#times.shift();
    return true;
  }

  /** The latest time of that probe. */
  get(sequence: number): number | undefined {
    const at = this.#sequences.lastIndexOf(sequence);
    return at < 0 ? undefined : this.#times[at];
  }

  /** The same, and forgets the probe. */
  take(sequence: number): number | undefined {
    const at = this.#sequences.lastIndexOf(sequence);
    if (at < 0) return undefined;
    this.#sequences.splice(at, 1);
    return this.#times.splice(at, 1)[0];
  }

  /** Forgets those up to that time; gives how many they were. */
  dropUntil(atMs: number): number {
    let dropped = 0;
    while ((this.#times[0] ?? Number.POSITIVE_INFINITY) <= atMs) {
      this.#sequences.shift();
      this.#times.shift();
      dropped++;
    }
    return dropped;
  }

  shiftBy(ms: number, latestMs: number): void {
    for (const [i, atMs] of this.#times.entries()) this.#times[i] = Math.min(latestMs, atMs + ms);
  }

  clear(): void {
    this.#sequences.length = 0;
    this.#times.length = 0;
  }
}
