import { messageOf } from "../../model/errors.ts";
import { serverAddress, type ClusterCidr, type SubnetNumber } from "../../model/cluster.ts";
import { PORTS } from "../../model/ports.ts";
import type { Member } from "../../model/server-record.ts";
import type { Clock, Log } from "../../system/host.ts";
import type { ConnectedUdpSocket, Udp, UdpHandlers, UdpSocket } from "../../system/udp-port.ts";
import { TokenBucket, type Rate } from "../../model/token-bucket.ts";
import { NewsReceiver, NewsSender, type NewsRecord, type Rows } from "./news.ts";
import { decodePacket, encodePacket, PROBES_FIRST, type Packet } from "./packet.ts";
import { timingOf, type ProbeTiming } from "./peer-contact.ts";
import { Reachability, type PeerReport } from "./reachability.ts";
import { Backoff } from "../wake.ts";

export interface LinkOptions {
  readonly self: { readonly id: string; readonly subnet: SubnetNumber };
  readonly cluster: ClusterCidr;
  readonly udp: Udp;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** ids that were unreachable when this agent was stopped */
  readonly lost: ReadonlySet<string>;
  /** news can be switched off: then the store alone delivers */
  readonly hasNews?: boolean;
  /** called with the ids of members that must not be answered from here, and of those that are not heard, on change */
  readonly onReachability: (hidden: readonly string[], lost: readonly string[]) => void;
  readonly onNews: (records: readonly NewsRecord[]) => void;
  /** a member asks that this server's rows be compared with its engine and the store */
  readonly onRecheck: () => void;
}

/** News that has to be sent again waits for this long at most. */
const NEWS_GRAIN_MS = 10;

/** Probes of one peer that are looked at; both sides may ask ten times a second when things are bad, and twice when well. */
const PROBES: Rate = { burst: 60, perSecond: 30 };

/** A request to compare rows is cheap to send and dear to answer. */
const RECHECK_PAUSE_MS = 5_000;

const FAREWELL_PAUSE_MS = 50;

interface Peer {
  readonly id: string;
  readonly subnet: SubnetNumber;
  readonly address: string;
  readonly probes: TokenBucket;
  direct: Promise<ConnectedUdpSocket | undefined> | undefined;
}

/** The agents' own conversation: probes, news and requests over one socket on the server's own address. */
export function startLink(options: LinkOptions): AgentLink {
  return new AgentLink(options);
}

export class AgentLink {
  readonly #options: LinkOptions;
  readonly #address: string;
  readonly #reachability: Reachability;
  readonly #sender: NewsSender;
  readonly #receiver: NewsReceiver;
  readonly #byAddress = new Map<string, Peer>();
  readonly #byId = new Map<string, Peer>();
  readonly #stop = new AbortController();
  /** datagrams that were not answered, by reason */
  readonly dropped: Record<string, number> = {};
  #socket: UdpSocket | undefined;
  #timing: ProbeTiming | undefined;
  /** counts the sockets that were asked for: only the last one is kept */
  #opened = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #said = "";
  #lastRecheckMs = Number.NEGATIVE_INFINITY;
  #changesSaid = -1;
  /** one piece of news goes to everybody, and is encoded once */
  #encoded: { readonly packet: Packet; readonly data: Buffer } | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#address = serverAddress(options.cluster, options.self.subnet);
    this.#reachability = new Reachability(options.self.subnet, options.random);
    this.#sender = new NewsSender(options.random);
    this.#receiver = new NewsReceiver(options.cluster);
  }

  /** The address comes with the tunnel or the engine's bridge, which may be later than this agent. */
  async #open({ isBatched, lookMs }: ProbeTiming): Promise<void> {
    const turn = ++this.#opened;
    const { udp, clock, log } = this.#options;
    const address = this.#address;
    const backoff = new Backoff(100, 1_000);
    let hasComplained = false;
    const handlers: UdpHandlers = {
      onData: (data, port, from, waitedMs) => this.#receive(data, port, from, waitedMs),
      onError: () => undefined,
    };
    while (!this.#stop.signal.aborted && turn === this.#opened) {
      try {
        const socket = await (isBatched
          ? udp.bindBatched(address, PORTS.agent, { pollMs: lookMs, ...PROBES_FIRST }, handlers)
          : udp.bind(address, PORTS.agent, handlers));
        if (this.#stop.signal.aborted || turn !== this.#opened) return socket.close();
        this.#socket = socket;
        if (hasComplained) log.info(`link: listening on ${address}:${PORTS.agent}`);
        return;
      } catch (error) {
        const why = messageOf(error);
        if (!hasComplained) log.info(`link: ${address}:${PORTS.agent} is not there yet (${why}); trying again`);
        hasComplained = true;
      }
      await clock.sleep(backoff.nextMs(), this.#stop.signal).catch(() => undefined);
    }
  }

  /** A mesh that grows or shrinks past a bound gets another kind of socket. Lost datagrams are sent again. */
  #choose(members: number): void {
    const timing = timingOf(members);
    if (timing === this.#timing) return;
    this.#timing = timing;
    this.#socket?.close();
    this.#socket = undefined;
    void this.#open(timing);
  }

  setMembers(members: readonly Member[]): void {
    this.#choose(members.length);
    const { self, cluster, clock, lost } = this.#options;
    const isSelfNat = members.find(({ id }) => id === self.id)?.nat === true;
    const others = members.filter(({ id }) => id !== self.id);
    for (const { id, subnet } of others) {
      if (this.#byId.get(id)?.subnet === subnet) continue;
      const probes = new TokenBucket(PROBES, clock.monotonicMs());
      const peer: Peer = { id, subnet, address: serverAddress(cluster, subnet), probes, direct: undefined };
      this.#byId.set(id, peer);
    }
    const ids = new Set<string>(others.map(({ id }) => id));
    for (const [id, peer] of this.#byId) {
      if (ids.has(id)) continue;
      this.#closeDirect(peer);
      this.#byId.delete(id);
    }
    this.#byAddress.clear();
    for (const peer of this.#byId.values()) this.#byAddress.set(peer.address, peer);
    this.#receiver.retain(ids);
    this.#reachability.setMembers(
      others.map(({ id, subnet, nat }) => ({ id, subnet, isApart: nat && isSelfNat })),
      clock.monotonicMs(),
      lost,
    );
    this.#say();
    this.#schedule();
  }

  /** Whether this server has compared its rows with its engine since it booted. */
  setReady(isReady: boolean): void {
    this.#reachability.setReady(isReady);
    this.#announce();
  }

  #announce(): void {
    for (const { to, packet } of this.#reachability.announce(this.#options.clock.monotonicMs())) this.#send(to, packet);
  }

  /** Tells everybody who can hear it what was just written. */
  tell(rows: Rows): void {
    const { clock, hasNews = true } = this.#options;
    if (rows.length === 0 || !hasNews) return;
    const peers = [...this.#byId.keys()]
      .filter((id) => this.#reachability.isHeard(id))
      .map((id) => ({ id, roundTripMs: this.#reachability.roundTripMs(id) }));
    for (const { to, packet } of this.#sender.say(rows, peers, clock.monotonicMs())) this.#send(to, packet);
    this.#schedule();
  }

  /** Asks a member to compare its rows. Gives whether it is one that can hear. */
  askToRecheck(id: string): boolean {
    if (!this.#reachability.isHeard(id)) return false;
    this.#send(id, { type: "recheck" });
    return true;
  }

  report(): readonly PeerReport[] {
    return this.#reachability.report(this.#options.clock.monotonicMs());
  }

  /** The server is about to stop: tells the others to answer none of its containers. Sent twice, as it may be lost. */
  async farewell(): Promise<void> {
    this.setReady(false);
    await this.#options.clock.sleep(FAREWELL_PAUSE_MS);
    this.#announce();
    await this.#options.clock.sleep(FAREWELL_PAUSE_MS);
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#socket?.close();
    for (const peer of this.#byId.values()) this.#closeDirect(peer);
  }

  #receive(data: Buffer, port: number, address: string, waitedMs: number): void {
    // Whoever speaks from a member's .1 is that member: WireGuard and the packet filter see to it.
    const peer = this.#byAddress.get(address);
    if (peer === undefined) return this.#drop("not a member");
    const packet = decodePacket(data);
    if (packet === undefined) return this.#drop("malformed");
    // Only a ping to a suspected peer comes from another port than the agent's own.
    if (port !== PORTS.agent && packet.type !== "ping") return this.#drop("from another port");
    this.#take(peer, packet, port, waitedMs);
  }

  #take(peer: Peer, packet: Packet, port: number, waitedMs: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    switch (packet.type) {
      case "ping":
      case "pong":
        if (!peer.probes.take(nowMs)) return this.#drop("too many probes");
        for (const answer of this.#reachability.receive(peer.id, packet, nowMs, waitedMs)) {
          this.#socket?.send(encodePacket(answer), answer.type === "pong" ? port : PORTS.agent, peer.address);
        }
        if (packet.type === "pong") this.#closeDirect(peer);
        this.#sayIfChanged();
        return;
      case "news":
        return this.#takeNews(peer, packet.message, packet.rows);
      case "ack":
        return this.#sender.acknowledged(peer.id, packet.message);
      default:
        if (nowMs - this.#lastRecheckMs < RECHECK_PAUSE_MS) return this.#drop("asked too often");
        this.#lastRecheckMs = nowMs;
        this.#options.onRecheck();
    }
  }

  #takeNews(peer: Peer, message: number, rows: Rows): void {
    const { clock, hasNews = true } = this.#options;
    if (!hasNews) return;
    const taken = this.#receiver.take(peer, rows, { monotonicMs: clock.monotonicMs(), clockMs: clock.nowMs() });
    if (taken === undefined) return this.#drop("too much news");
    for (let count = 0; count < taken.refused; count++) this.#drop("news that cannot be true");
    this.#send(peer.id, { type: "ack", message });
    if (taken.records.length > 0) this.#options.onNews(taken.records);
  }

  #drop(reason: string): void {
    this.dropped[reason] = (this.dropped[reason] ?? 0) + 1;
  }

  #send(id: string, packet: Packet): void {
    const peer = this.#byId.get(id);
    if (peer === undefined || this.#socket === undefined) return;
    if (this.#encoded?.packet !== packet) this.#encoded = { packet, data: encodePacket(packet) };
    this.#socket.send(this.#encoded.data, PORTS.agent, peer.address);
  }

  #tick(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#options.clock.monotonicMs();
    for (const { to, packet, isDirect } of this.#reachability.tick(nowMs)) {
      if (isDirect) this.#sendDirect(to, packet);
      else this.#send(to, packet);
    }
    for (const { to, packet } of this.#sender.tick(nowMs)) this.#send(to, packet);
    if (this.#reachability.changes !== this.#changesSaid) this.#say();
    this.#schedule();
  }

  /** A suspected peer gets a socket of its own: on the common one the kernel does not say whose port is closed. */
  #sendDirect(id: string, packet: Packet): void {
    const peer = this.#byId.get(id);
    if (peer === undefined) return;
    const data = encodePacket(packet);
    peer.direct ??= this.#options.udp
      .connect(this.#address, peer.address, PORTS.agent, {
        onData: (answer) => {
          const decoded = decodePacket(answer);
          if (decoded?.type === "pong") this.#take(peer, decoded, PORTS.agent, 0);
        },
        onError: (error) => {
          if ("code" in error && error.code === "ECONNREFUSED") {
            this.#reachability.refused(peer.id, this.#options.clock.monotonicMs());
          }
        },
      })
      .catch(() => undefined);
    void peer.direct.then((socket) => {
      if (socket === undefined) peer.direct = undefined;
      else socket.send(data);
    });
  }

  #closeDirect(peer: Peer): void {
    void peer.direct?.then((socket) => socket?.close());
    peer.direct = undefined;
  }

  #sayIfChanged(): void {
    if (this.#reachability.changes === this.#changesSaid) return;
    this.#say();
    this.#schedule();
  }

  #say(): void {
    this.#changesSaid = this.#reachability.changes;
    const nowMs = this.#options.clock.monotonicMs();
    const hidden = this.#reachability.hidden(nowMs);
    const lost = this.#reachability.lost(nowMs);
    const text = `${hidden.join()} ${lost.join()}`;
    if (text === this.#said) return;
    this.#said = text;
    this.#options.onReachability(hidden, lost);
  }

  #schedule(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const lookMs = this.#timing?.lookMs ?? 0;
    // Probes are looked at at whole multiples of `lookMs`: a batched socket then wakes the process at the same moments.
    const probesAtMs = Math.ceil(Math.max(this.#reachability.nextDueMs(), nowMs + lookMs / 2) / lookMs) * lookMs;
    const atMs = Math.min(probesAtMs, Math.max(this.#sender.nextDueMs(), nowMs + NEWS_GRAIN_MS));
    if (atMs === Number.POSITIVE_INFINITY || this.#stop.signal.aborted) return;
    if (this.#timerAtMs <= atMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => this.#tick(), atMs - nowMs);
  }
}
