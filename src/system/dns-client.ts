import { createSocket, type Socket } from "node:dgram";
import { connect } from "node:net";
import { randomInt } from "node:crypto";
import { decode, encode, type DecodedPacket, type Packet } from "dns-packet";

export interface DnsServerAddress {
  readonly address: string;
  readonly port: number;
}

/** What a DNS server said to a question for addresses. */
export interface AddressAnswer {
  /** RCODE by name: NOERROR, NXDOMAIN, SERVFAIL, … */
  readonly rcode: string;
  /** as they stood in the answer */
  readonly addresses: readonly string[];
  /** of the addresses, else of the SOA that says there are none; null when there is neither */
  readonly ttlSeconds: number | null;
  readonly transport: "udp" | "tcp";
  readonly latencyMs: number;
}

const TRY_MS = 1_000;
const TRIES = 2;

/** What we take over UDP: passes every path without fragments. */
const UDP_BYTES = 1232;

/** Recursion desired (RFC 1035 §4.1.1). */
const RD = 0x0100;

interface Pending {
  readonly name: string;
  readonly resolve: (packet: DecodedPacket | undefined) => void;
}

/** A client of one DNS server, with one socket for all questions. Rejects when the socket cannot be made. */
export async function openDnsClient(server: DnsServerAddress): Promise<DnsClient> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.connect(server.port, server.address, resolve);
  });
  return new DnsClient(server, socket);
}

export class DnsClient {
  readonly #server: DnsServerAddress;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();

  constructor(server: DnsServerAddress, socket: Socket) {
    this.#server = server;
    this.#socket = socket;
    socket.removeAllListeners("error");
    // When nobody listens there, the tries under way time out.
    socket.on("error", () => undefined);
    socket.on("message", (bytes) => this.#take(bytes));
  }

  /**
   * Asks for the A records of a name, over UDP (twice, if need be) and over TCP when the answer was cut. Undefined when no
   * answer came in time. Never rejects.
   */
  async addresses(name: string): Promise<AddressAnswer | undefined> {
    const startedMs = performance.now();
    let transport: AddressAnswer["transport"] = "udp";
    let packet = await this.#askUdp(name);
    if (packet?.flag_tc === true) {
      transport = "tcp";
      packet = await this.#askTcp(name);
    }
    if (packet === undefined) return undefined;
    const latencyMs = Math.round((performance.now() - startedMs) * 100) / 100;
    return { ...answerOf(packet), transport, latencyMs };
  }

  close(): void {
    for (const { resolve } of this.#pending.values()) resolve(undefined);
    this.#socket.close();
  }

  async #askUdp(name: string): Promise<DecodedPacket | undefined> {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const packet = await this.#tryUdp(name);
      if (packet !== undefined) return packet;
    }
    return undefined;
  }

  #tryUdp(name: string): Promise<DecodedPacket | undefined> {
    return new Promise((resolve) => {
      let id = randomInt(0x10000);
      while (this.#pending.has(id)) id = (id + 1) % 0x10000;
      const end = (packet: DecodedPacket | undefined): void => {
        clearTimeout(timer);
        this.#pending.delete(id);
        resolve(packet);
      };
      const timer = setTimeout(() => end(undefined), TRY_MS);
      this.#pending.set(id, { name, resolve: end });
      this.#socket.send(encode(questionOf(id, name)), (error) => {
        if (error !== null) end(undefined);
      });
    });
  }

  #take(bytes: Buffer): void {
    const packet = read(bytes);
    const pending = this.#pending.get(packet?.id ?? -1);
    if (packet !== undefined && pending !== undefined && isAnswerTo(packet, pending.name)) pending.resolve(packet);
  }

  async #askTcp(name: string): Promise<DecodedPacket | undefined> {
    const id = randomInt(0x10000);
    const bytes = await exchangeTcp(this.#server, encode(questionOf(id, name)), TRY_MS * TRIES);
    const packet = bytes === undefined ? undefined : read(bytes);
    return packet !== undefined && packet.id === id && isAnswerTo(packet, name) ? packet : undefined;
  }
}

/**
 * Asks a DNS server for the SOA of `jiji` and resolves with the time to its answer, whatever the answer says, in ms;
 * undefined when none came in time. Over UDP the question is sent once.
 */
export async function askForSoa(
  server: DnsServerAddress,
  transport: "udp" | "tcp",
  timeoutMs: number,
): Promise<number | undefined> {
  const id = randomInt(0x10000);
  const question = encode({ type: "query", id, flags: RD, questions: [{ type: "SOA", class: "IN", name: "jiji" }] });
  const startedMs = performance.now();
  const answer = await (transport === "udp" ? exchangeUdp : exchangeTcp)(server, question, timeoutMs);
  const isAnswer = answer !== undefined && answer.length >= 12 && answer.readUInt16BE(0) === id;
  return isAnswer && (answer.readUInt8(2) & 0x80) !== 0 ? performance.now() - startedMs : undefined;
}

function questionOf(id: number, name: string): Packet {
  return {
    type: "query",
    id,
    flags: RD,
    questions: [{ type: "A", class: "IN", name }],
    additionals: [
      { type: "OPT", name: ".", udpPayloadSize: UDP_BYTES, extendedRcode: 0, ednsVersion: 0, flags: 0, options: [] },
    ] as unknown as NonNullable<Packet["additionals"]>,
  };
}

function read(bytes: Buffer): DecodedPacket | undefined {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

function isAnswerTo(packet: DecodedPacket, name: string): boolean {
  const [question] = packet.questions ?? [];
  return packet.type === "response" && question?.type === "A" && question.name.toLowerCase() === name.toLowerCase();
}

function answerOf(packet: DecodedPacket): Pick<AddressAnswer, "rcode" | "addresses" | "ttlSeconds"> {
  const found = (packet.answers ?? []).flatMap((answer) => (answer.type === "A" ? [answer] : []));
  const soa = (packet.authorities ?? []).flatMap((answer) => (answer.type === "SOA" ? [answer] : []));
  const ttls = (found.length > 0 ? found : soa).flatMap(({ ttl }) => (ttl === undefined ? [] : [ttl]));
  return {
    // The package's types leave it out.
    rcode: (packet as { readonly rcode?: string }).rcode ?? "NOERROR",
    addresses: found.map(({ data }) => data),
    ttlSeconds: ttls.length === 0 ? null : Math.min(...ttls),
  };
}

function exchangeUdp(server: DnsServerAddress, question: Buffer, timeoutMs: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const end = (answer?: Buffer): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on("error", () => undefined);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(end, timeoutMs);
    socket.once("message", (answer) => end(answer));
    socket.once("error", () => end());
    socket.send(question, server.port, server.address, (error) => {
      if (error !== null) end();
    });
  });
}

/** Sends one message over TCP (RFC 7766 §8) and gives what comes back; undefined when nothing came in time. */
export function exchangeTcp(
  server: DnsServerAddress,
  message: Uint8Array,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: server.address, port: server.port });
    const end = (answer?: Buffer): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.destroy();
      resolve(answer);
    };
    const abort = (): void => end();
    const timer = setTimeout(end, timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    let received: Buffer = Buffer.alloc(0);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    socket.write(Buffer.concat([length, message]));
    socket.on("data", (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const whole = received.length >= 2 ? 2 + received.readUInt16BE(0) : Number.POSITIVE_INFINITY;
      if (received.length >= whole) end(received.subarray(2, whole));
    });
    socket.once("error", () => end());
    socket.once("close", () => end());
  });
}
