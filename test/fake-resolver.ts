import { createSocket, type Socket as Datagrams } from "node:dgram";
import { createServer, type AddressInfo, type Server } from "node:net";
import { decode, encode, type DecodedPacket, type Packet } from "dns-packet";
import type { Endpoint } from "../src/model/address.ts";

/** One question that a resolver was asked. */
export interface Asked {
  readonly packet: DecodedPacket;
  readonly raw: Buffer;
  readonly protocol: "udp" | "tcp";
  /** source port */
  readonly port: number;
  /** Sends something back, as it is. */
  readonly send: (bytes: Uint8Array) => void;
  /** Answers properly. */
  readonly answer: (more: Packet) => void;
}

/** A resolver that does what a test says, over UDP and TCP on one port of loopback. */
export class FakeResolver {
  readonly asked: Asked[] = [];
  /** called with each question; by default it answers A questions with 192.0.2.1 */
  onQuestion: (asked: Asked) => void = (asked) => asked.answer({ answers: [addressOf(asked, "192.0.2.1")] });
  readonly #udp: Datagrams;
  readonly #tcp: Server;
  #isClosed = false;
  #watch = (): void => {};

  private constructor(udp: Datagrams, tcp: Server) {
    this.#udp = udp;
    this.#tcp = tcp;
    udp.on("message", (raw, { port, address }) => {
      const send = (bytes: Uint8Array): void => {
        if (!this.#isClosed) udp.send(bytes, port, address);
      };
      this.#take(raw, "udp", port, send);
    });
    tcp.on("connection", (socket) => {
      let received = Buffer.alloc(0);
      socket.on("error", () => undefined);
      socket.on("data", (data: Buffer) => {
        received = Buffer.concat([received, data]);
        while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
          const raw = received.subarray(2, 2 + received.readUInt16BE(0));
          received = received.subarray(2 + raw.length);
          this.#take(raw, "tcp", socket.remotePort ?? 0, (bytes) => {
            socket.write(Buffer.concat([Buffer.from([bytes.length >>> 8, bytes.length & 255]), bytes]));
          });
        }
      });
    });
  }

  static async start(): Promise<FakeResolver> {
    for (;;) {
      const udp = createSocket("udp4");
      await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
      const tcp = createServer();
      const isListening = await new Promise<boolean>((resolve) => {
        tcp.once("error", () => resolve(false));
        tcp.listen(udp.address().port, "127.0.0.1", () => resolve(true));
      });
      if (isListening) return new FakeResolver(udp, tcp);
      udp.close();
    }
  }

  get endpoint(): Endpoint {
    return `127.0.0.1:${(this.#tcp.address() as AddressInfo).port}` as Endpoint;
  }

  async untilAsked(count: number): Promise<void> {
    while (this.asked.length < count) await new Promise<void>((resolve) => (this.#watch = resolve));
  }

  close(): void {
    this.#isClosed = true;
    this.#udp.close();
    this.#tcp.close();
  }

  #take(raw: Buffer, protocol: Asked["protocol"], port: number, send: Asked["send"]): void {
    const packet = decode(raw);
    const answer = (more: Packet): void => {
      const { id, questions = [] } = packet;
      send(encode({ type: "response", id: id ?? 0, flags: 0x180, questions, ...more }));
    };
    const asked = { packet, raw, protocol, port, send, answer };
    this.asked.push(asked);
    this.#watch();
    this.onQuestion(asked);
  }
}

/** An address record for the name that was asked for. */
export function addressOf({ packet }: Asked, data: string, ttl = 60) {
  return { type: "A" as const, name: packet.questions?.[0]?.name ?? "", data, ttl };
}
