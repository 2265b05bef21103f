import { createConnection } from "node:net";
import { encode } from "dns-packet";
import { encodeName } from "../../src/dns/wire/wire.ts";
import { mannersOf } from "./hostile-resolver.ts";
import { corpusOf, mutated } from "./mutate.ts";
import { SeededRandom } from "./random.ts";
import { Served } from "./served.ts";
import { Sent } from "./verdict.ts";

export interface FuzzOptions {
  readonly packets: number;
  readonly seed: number;
  /** Called now and then with how far it is. */
  readonly say: (line: string) => void;
}

export interface FuzzReport {
  readonly seed: number;
  readonly packets: number;
  readonly valid: number;
  readonly overTcp: number;
  /** answers that were compared */
  readonly answers: number;
  /** those that must be answered and had to be asked again, since a packet was lost */
  readonly askedAgain: number;
  readonly forwarded: number;
  readonly faults: number;
  readonly logLines: number;
  /** the least memory that it held in each fifth of the run: between two collections it holds more */
  readonly megabytes: readonly number[];
  readonly seconds: number;
  readonly exitCode: number;
  /** what went wrong; empty when nothing did */
  readonly complaints: readonly string[];
}

const PACKETS_PER_ROUND = 480;
const VALID_PER_ROUND = 32;
const SENDERS = 64;
const ASK_AGAIN_MS = 2_000;
const GIVE_UP_MS = 20_000;
/** A question for others may take so long. */
const FORGET_MS = 12_000;
const MAX_COMPLAINTS = 20;

const OWN_NAMES = [
  ...[
    "shop-many.jiji",
    "shop-s1.jiji",
    "shop-s2-i3.jiji",
    "shop-s7.jiji",
    "_80._tcp.shop-s3.jiji",
    "_tcp.shop-s1.jiji",
  ],
  ...["jiji", "ns.jiji", "server.jiji", "web1.server.jiji", "nobody.jiji", "www.shop-s1.jiji", "shop-evil.jiji"],
  ...["2.1.210.10.in-addr.arpa", "210.10.in-addr.arpa", "1.210.10.in-addr.arpa", "9.9.210.10.in-addr.arpa"],
];
const OTHERS = [
  ...["example.org", "_acme-challenge.example.org", "a.very.long.name.with.many.labels.example.net"],
  ...["1.0.0.127.in-addr.arpa", "2.0.211.10.in-addr.arpa", "com"],
];
const NAMES = [...OWN_NAMES, ...OTHERS];

/** Those that the resolver answers in the end, for valid questions wait for their answers. */
const FORWARDED = [...OTHERS, ...Array.from({ length: 4000 }, (_, n) => `n${n}.example.com`)].filter((name) => {
  const manners = mannersOf(encodeName(name) ?? new Uint8Array(0));
  return manners !== "malformed" && manners !== "never";
});

/** Sends mutated packets to a real `jiji dns serve`, valid questions between them, and compares every answer. */
export async function fuzzDns(options: FuzzOptions): Promise<FuzzReport> {
  const served = await Served.start();
  const fuzz = new Fuzz(served, options);
  try {
    return await fuzz.run();
  } finally {
    fuzz.close();
    if (served.exitCode === null) await served.close();
  }
}

/** A client's socket, and what it has asked. */
interface Sender {
  readonly socket: Bun.udp.ConnectedSocket<"buffer">;
  readonly waiting: Map<number, Sent[]>;
}

/** A packet that must be answered, and who waits for that. */
interface Owed {
  readonly sender: Sender;
  readonly sent: Sent;
}

class Fuzz {
  readonly #served: Served;
  readonly #options: FuzzOptions;
  readonly #random: SeededRandom;
  readonly #corpus = corpusOf(NAMES);
  readonly #senders: Sender[] = [];
  readonly #complaints: string[] = [];
  #asker: Sender | undefined;
  /** of the last round */
  #owed: readonly Owed[] = [];
  #hasWaitedInVain = false;
  #nextId = 1;
  #answers = 0;
  #valid = 0;
  #askedAgain = 0;
  #overTcp = 0;

  constructor(served: Served, options: FuzzOptions) {
    this.#served = served;
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
  }

  close(): void {
    for (const { socket } of [...this.#senders, ...(this.#asker ? [this.#asker] : [])]) socket.close();
  }

  async run(): Promise<FuzzReport> {
    const { packets, seed, say } = this.#options;
    const startMs = performance.now();
    for (let i = 0; i < SENDERS; i++) this.#senders.push(await this.#openSender(`127.1.0.${i + 1}`));
    this.#asker = await this.#openSender("127.2.0.1");
    await this.#untilReady();
    const megabytes: number[] = [];
    let sent = 0;
    for (let round = 0; sent < packets && !this.#isOver; round++) {
      const count = Math.min(PACKETS_PER_ROUND, packets - sent);
      await this.#round(count);
      if (round % 4 === 0) await this.#roundOverTcp();
      if (this.#served.exitCode !== null) this.#complain(`it ended with exit code ${this.#served.exitCode}`);
      if (this.#served.exitCode !== null) break;
      const fifth = Math.floor((sent * 5) / packets);
      megabytes[fifth] = Math.min(megabytes[fifth] ?? Number.POSITIVE_INFINITY, this.#served.residentMegabytes);
      sent += count;
      if (round % 200 === 199)
        say(`${sent} packets, ${this.#answers} answers compared, ${this.#served.residentMegabytes} MB`);
    }
    if (this.#served.exitCode === null) await this.#untilAnswered(this.#owed);
    const metrics = this.#served.exitCode === null ? await this.#served.metrics() : new Map<string, number>();
    const exitCode = this.#served.exitCode ?? (await this.#served.close());
    if (exitCode !== 0) this.#complain(`exit code ${exitCode} after SIGTERM`);
    return {
      seed,
      packets: sent,
      valid: this.#valid,
      overTcp: this.#overTcp,
      answers: this.#answers,
      askedAgain: this.#askedAgain,
      forwarded: this.#served.resolver.asked,
      faults: metrics.get("faults_total") ?? -1,
      logLines: this.#served.lines.length,
      megabytes,
      seconds: Math.round((performance.now() - startMs) / 100) / 10,
      exitCode,
      complaints: this.#complaints,
    };
  }

  /** Enough was wrong; and what is not answered would be waited for in every round. */
  get #isOver(): boolean {
    return this.#hasWaitedInVain || this.#complaints.length >= MAX_COMPLAINTS;
  }

  async #openSender(hostname: string): Promise<Sender> {
    const waiting = new Map<number, Sent[]>();
    const socket = await Bun.udpSocket({
      hostname,
      connect: { hostname: "127.0.0.1", port: this.#served.port },
      binaryType: "buffer",
      socket: {
        data: (_socket, answer) => this.#take(answer, waiting),
        error: () => undefined,
      },
    });
    return { socket, waiting };
  }

  /** Every answer belongs to something that this socket has sent, and is right for it. */
  #take(answer: Buffer, waiting: Map<number, Sent[]>): void {
    this.#answers++;
    const id = answer.length < 2 ? -1 : answer.readUInt16BE(0);
    const asked = waiting.get(id) ?? [];
    const complaints: string[] = [];
    for (const [index, sent] of asked.entries()) {
      const complaint = answer.length < 12 ? "shorter than a header" : this.#complaintOf(sent, answer, false);
      if (complaint !== undefined) {
        complaints.push(`${complaint}; sent ${hex(sent.octets)}`);
        continue;
      }
      asked.splice(index, 1);
      if (asked.length === 0) waiting.delete(id);
      return;
    }
    this.#complain(`id ${id}: ${complaints.join("; ") || "nobody asked"}; answer ${answer.toString("hex")}`);
  }

  #complaintOf(sent: Sent, answer: Buffer, isTcp: boolean): string | undefined {
    try {
      return sent.complaint(answer, (name, type) => this.#served.expected(name, type), isTcp);
    } catch (error) {
      return `the answer cannot be read: ${String(error)}`;
    }
  }

  #complain(text: string): void {
    if (this.#complaints.length < MAX_COMPLAINTS) this.#complaints.push(text);
  }

  async #round(count: number): Promise<void> {
    const random = this.#random;
    const owed: Owed[] = [];
    for (let i = 0; i < count; i++) {
      const octets = mutated(this.#corpus, random);
      if (octets.length >= 2) [octets[0], octets[1]] = [random.next(256), random.next(256)];
      const one = { sender: random.pick(this.#senders), sent: new Sent(octets) };
      this.#send(one.sender, one.sent);
      if (one.sent.mustBeAnswered((name, type) => this.#served.expected(name, type))) owed.push(one);
      if (i % Math.ceil(PACKETS_PER_ROUND / VALID_PER_ROUND) === 0) owed.push(this.#sendValid());
    }
    // The next packets go out while the last answers are on their way.
    await this.#untilAnswered(this.#owed);
    this.#owed = owed;
    const nowMs = performance.now();
    for (const { waiting } of this.#senders) {
      for (const [id, asked] of waiting) {
        const left = asked.filter(({ sentMs }) => nowMs - sentMs < FORGET_MS);
        if (left.length === 0) waiting.delete(id);
        else waiting.set(id, left);
      }
    }
  }

  #send(sender: Sender, sent: Sent): void {
    if (sent.octets.length === 0) return;
    const known = sender.waiting.get(sent.id);
    if (known === undefined) sender.waiting.set(sent.id, [sent]);
    else known.push(sent);
    sender.socket.send(Uint8Array.from(sent.octets));
  }

  #validQuestion(): Sent {
    const random = this.#random;
    const id = (this.#nextId = (this.#nextId % 65_535) + 1);
    const name = random.isOneIn(4) ? random.pick(FORWARDED) : random.pick(OWN_NAMES);
    const type = random.pick(["A", "A", "A", "AAAA", "SRV", "TXT", "PTR", "ANY"]) as "A";
    const additionals = random.isOneIn(2) ? [{ type: "OPT", name: ".", udpPayloadSize: 1232, flags: 0 }] : [];
    return new Sent([
      ...encode({ type: "query", id, flags: 0x100, questions: [{ type, name }], additionals: additionals as never }),
    ]);
  }

  #sendValid(): Owed {
    const one = { sender: this.#asker!, sent: this.#validQuestion() };
    this.#valid++;
    this.#send(one.sender, one.sent);
    return one;
  }

  /** All are answered, whatever else comes; loopback may lose a packet, so they are asked again. */
  async #untilAnswered(owed: readonly Owed[]): Promise<void> {
    const startMs = performance.now();
    const isOpen = ({ sender, sent }: Owed) => sender.waiting.get(sent.id)?.includes(sent) === true;
    let askedMs = startMs;
    let left = owed.filter(isOpen);
    for (; left.length > 0 && this.#served.exitCode === null; left = left.filter(isOpen)) {
      const nowMs = performance.now();
      if (nowMs - startMs > GIVE_UP_MS) {
        for (const { sent } of left) this.#complain(`no answer to ${hex(sent.octets)}`);
        this.#hasWaitedInVain = true;
        return;
      }
      if (nowMs - askedMs >= ASK_AGAIN_MS) {
        askedMs = nowMs;
        for (const { sender, sent } of left) {
          this.#askedAgain++;
          // Then two answers may come.
          sender.waiting.get(sent.id)?.push(new Sent(sent.octets));
          sender.socket.send(Uint8Array.from(sent.octets));
        }
      }
      await Bun.sleep(left.length > 4 ? 0 : 1);
    }
  }

  /** A valid question over TCP, then frames whose lengths or contents lie. */
  async #roundOverTcp(): Promise<void> {
    const random = this.#random;
    const sent = this.#validQuestion();
    const socket = createConnection({
      port: this.#served.port,
      host: "127.0.0.1",
      localAddress: `127.3.0.${1 + random.next(200)}`,
    });
    let received = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), GIVE_UP_MS);
    try {
      socket.write(frame(sent.octets, sent.octets.length));
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        received = Buffer.concat([received, chunk]);
        if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) continue;
        const answer = received.subarray(2, 2 + received.readUInt16BE(0));
        const complaint = answer.readUInt16BE(0) === sent.id ? this.#complaintOf(sent, answer, true) : "a wrong id";
        if (complaint !== undefined) this.#complain(`TCP: ${complaint}; sent ${hex(sent.octets)}`);
        this.#overTcp++;
        const octets = mutated(this.#corpus, random);
        socket.end(frame(octets, random.isOneIn(2) ? octets.length : random.next(65_536)));
        break;
      }
      if (received.length === 0) this.#complain(`TCP: no answer to ${hex(sent.octets)}`);
    } catch (error) {
      this.#complain(`TCP: ${String(error)}`);
    } finally {
      clearTimeout(timer);
      socket.destroy();
    }
  }

  /** The store's rows have to be there before anything is compared. */
  async #untilReady(): Promise<void> {
    for (;;) {
      const metrics = await this.#served.metrics();
      if ((metrics.get("rows") ?? 0) > 0 && (metrics.get("servers") ?? 0) === 2) return;
      await Bun.sleep(20);
    }
  }
}

function frame(octets: readonly number[], length: number): Buffer {
  return Buffer.from([length >>> 8, length & 255, ...octets]);
}

function hex(octets: readonly number[]): string {
  return Buffer.from(octets).toString("hex");
}
