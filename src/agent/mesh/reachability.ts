import type { Packet, Probe } from "./packet.ts";
import { PeerContact, timingOf } from "./peer-contact.ts";

/** A member as the probes see it. */
export interface ProbedMember {
  readonly id: string;
  readonly subnet: number;
  /** neither side can be reached from outside, so that there is no path by configuration */
  readonly isApart: boolean;
}

/** A tick that comes later than this was held up. */
const STALL_MS = 400;

/** A datagram to send. `isDirect`: over a connected socket, so that the kernel's "port unreachable" comes back with a name. */
export interface Outgoing {
  readonly to: string;
  readonly packet: Packet;
  readonly isDirect: boolean;
}

/** One peer's line of the latency matrix. */
export interface PeerReport {
  readonly id: string;
  /** probes are answered, or were so lately that it still counts */
  readonly isHeard: boolean;
  /** its containers may be answered from here, as far as this peer is concerned */
  readonly counts: boolean;
  /** its server answers, its agent does not */
  readonly isAgentDown: boolean;
  readonly isReady: boolean;
  readonly isApart: boolean;
  readonly roundTripMs: number | null;
  /** of the latest probes, 0 to 100; null before the first */
  readonly lossPercent: number | null;
}

/**
 * Which members' containers must not be answered from here: a state machine without clock, sockets or randomness.
 * Times are monotonic ms; `random` gives 0 ≤ x < 1.
 *
 * Each pair has one exchange per half second (per second in a large mesh), started by the lower number. After a missed one
 * both sides ask again and again. A longer silence means unreachable, an answer means reachable. A refused port (the server
 * lives, its agent does not) keeps a reachable server reachable but restores none. A server that was lost twice within a
 * minute waits before it counts again. One whose agent has not looked at its engine since it booted never counts. Nothing
 * here ever removes a member or writes a row.
 */
export class Reachability {
  readonly #selfSubnet: number;
  readonly #random: () => number;
  readonly #peers = new Map<string, PeerContact>();
  readonly #apart = new Set<string>();
  #isReady = false;
  #changes = 0;
  #nextDueMs = Number.POSITIVE_INFINITY;
  /** until then silence means that this server itself is cut off */
  #cutOffUntilMs = Number.NEGATIVE_INFINITY;

  constructor(selfSubnet: number, random: () => number) {
    this.#selfSubnet = selfSubnet;
    this.#random = random;
  }

  /** Grows whenever the result of {@link hidden} or {@link lost} may have changed. */
  get changes(): number {
    return this.#changes;
  }

  /** What this server says of itself in every packet. */
  setReady(isReady: boolean): void {
    this.#isReady = isReady;
  }

  /**
   * Takes over who the members are, without this server. A newcomer counts as reachable until three misses, unless
   * `lost` says that it was unreachable before this agent was restarted.
   */
  setMembers(members: readonly ProbedMember[], nowMs: number, lost: ReadonlySet<string> = new Set()): void {
    const ids = new Set(members.map(({ id }) => id));
    for (const id of this.#peers.keys()) if (!ids.has(id)) this.#peers.delete(id);
    this.#apart.clear();
    const timing = timingOf(members.length + 1);
    for (const peer of this.#peers.values()) peer.setTiming(timing);
    for (const { id, subnet, isApart } of members) {
      if (isApart) this.#apart.add(id);
      if (isApart) this.#peers.delete(id);
      else if (!this.#peers.has(id)) {
        const starts = this.#selfSubnet < subnet;
        this.#peers.set(id, new PeerContact(starts, nowMs, timing, this.#random, lost.has(id)));
      }
    }
    this.#changes++;
    this.#nextDueMs = Number.POSITIVE_INFINITY;
    for (const peer of this.#peers.values()) this.#nextDueMs = Math.min(this.#nextDueMs, peer.dueAtMs);
  }

  /** A ping or pong came from that member's own address, `waitedMs` ago. Gives what to send back. */
  receive(id: string, probe: Probe, nowMs: number, waitedMs = 0): readonly Packet[] {
    const peer = this.#peers.get(id);
    if (peer === undefined) return [];
    const before = peer.standing;
    const answers = peer.receive(probe, this.#isReady, nowMs, waitedMs);
    if (peer.standing !== before) this.#changes++;
    this.#nextDueMs = Math.min(this.#nextDueMs, peer.dueAtMs);
    return answers;
  }

  /** The member's kernel answered that nobody listens. */
  refused(id: string, nowMs: number): void {
    this.#peers.get(id)?.refused(nowMs);
  }

  /** Lets time pass. Gives what is due to be sent. */
  tick(nowMs: number): readonly Outgoing[] {
    // While this process did not run, nobody was silent.
    const lateMs = nowMs - this.nextDueMs();
    if (lateMs > STALL_MS) for (const peer of this.#peers.values()) peer.forgive(lateMs, nowMs);
    const outgoing: Outgoing[] = [];
    let silent = 0;
    this.#nextDueMs = Number.POSITIVE_INFINITY;
    // This loop over everybody runs many times a second: a peer with nothing due must cost next to nothing.
    for (const [to, peer] of this.#peers) {
      if (nowMs >= peer.dueAtMs) {
        const before = peer.standing;
        const due = peer.tick(this.#isReady, nowMs);
        if (due !== undefined) outgoing.push({ to, packet: due.packet, isDirect: due.isDirect });
        if (peer.standing !== before) this.#changes++;
      }
      if (peer.isSilent(nowMs)) silent++;
      if (peer.dueAtMs < this.#nextDueMs) this.#nextDueMs = peer.dueAtMs;
    }
    this.#judge(silent, nowMs);
    return outgoing;
  }

  /** The longest silence after which a peer is lost. */
  #longestLostMs(): number {
    let longest = 0;
    for (const peer of this.#peers.values()) longest = Math.max(longest, peer.lostMs);
    return longest;
  }

  /**
   * When more than half of all, this server included, cannot be heard, this server itself is probably cut off. The others
   * fall silent and return one after the other within a period. So a peer counts as silent a little early, and afterwards
   * each has the time in which it would be heard.
   */
  #judge(silent: number, nowMs: number): void {
    const wasCutOff = this.#cutOffUntilMs > 0;
    if (silent * 2 > this.#peers.size + 1) this.#cutOffUntilMs = nowMs + this.#longestLostMs();
    else if (nowMs >= this.#cutOffUntilMs) this.#cutOffUntilMs = Number.NEGATIVE_INFINITY;
    if (wasCutOff !== this.#cutOffUntilMs > 0) this.#changes++;
  }

  /** Pings everybody who can hear it, at once, after {@link setReady}. */
  announce(nowMs: number): readonly Outgoing[] {
    return [...this.#peers].flatMap(([to, peer]) =>
      peer.isHeard ? [{ to, packet: peer.ping(this.#isReady, nowMs), isDirect: false }] : [],
    );
  }

  /** When {@link tick} has something to do next; infinity without peers. */
  nextDueMs(): number {
    return this.#cutOffUntilMs > 0 ? Math.min(this.#nextDueMs, this.#cutOffUntilMs) : this.#nextDueMs;
  }

  /**
   * Ids of members whose containers must not be answered from here, sorted: those without a path by configuration, those
   * that have not looked at their engine since they booted, and those that cannot be heard, unless this server is cut off.
   */
  hidden(nowMs: number): readonly string[] {
    const hidden = [...this.#apart];
    const isCutOff = nowMs < this.#cutOffUntilMs;
    for (const [id, peer] of this.#peers) {
      const isReachable = peer.isReachable(nowMs);
      if (isReachable ? !peer.isReady : !isCutOff) hidden.push(id);
    }
    return hidden.toSorted();
  }

  /** Ids of members that cannot be heard, whatever is concluded from that; for {@link setMembers} after a restart. */
  lost(nowMs: number): readonly string[] {
    return [...this.#peers].flatMap(([id, peer]) => (peer.isReachable(nowMs) ? [] : [id])).toSorted();
  }

  /** Whether a datagram to that member has a chance to arrive. */
  isHeard(id: string): boolean {
    return this.#peers.get(id)?.isHeard ?? false;
  }

  /** The measured round trip to that member, if there is one. */
  roundTripMs(id: string): number | undefined {
    return this.#peers.get(id)?.roundTripMs;
  }

  report(nowMs: number): readonly PeerReport[] {
    const hidden = new Set(this.hidden(nowMs));
    return [...this.#peers.keys(), ...this.#apart].toSorted().map((id) => {
      const peer = this.#peers.get(id);
      return {
        id,
        isHeard: peer?.isHeard ?? false,
        counts: !hidden.has(id),
        isAgentDown: peer?.isAgentDown ?? false,
        isReady: peer?.isReady ?? false,
        isApart: peer === undefined,
        roundTripMs: peer?.roundTripMs ?? null,
        lossPercent: peer?.lossPercent ?? null,
      };
    });
  }
}
