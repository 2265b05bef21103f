import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { Endpoint } from "../../src/model/address.ts";

/**
 * A resolver that answers each A question with an address that follows from the name, and does so properly, late, after
 * garbage, after somebody else's answer, malformed, or never, as the name has it too.
 */
export class HostileResolver {
  asked = 0;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (raw, { port, address }) => this.#answer(raw, port, address));
    socket.on("error", () => undefined);
  }

  static async start(): Promise<HostileResolver> {
    const socket = createSocket({ type: "udp4", recvBufferSize: 4 * 1024 * 1024 });
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    return new HostileResolver(socket);
  }

  get endpoint(): Endpoint {
    return `127.0.0.1:${this.#socket.address().port}` as Endpoint;
  }

  close(): void {
    this.#socket.close();
  }

  #answer(raw: Buffer, port: number, address: string): void {
    this.asked++;
    let end = 12;
    while (end < raw.length && raw[end] !== 0) end += (raw[end] ?? 0) + 1;
    const name = raw.subarray(12, ++end);
    const isA = raw.readUInt16BE(end) === 1;
    const head = Buffer.from(raw.subarray(0, end + 4));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(isA ? 1 : 0, 6);
    head.writeUInt32BE(0, 8);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 20, 0, 4, ...addressFor(name)]);
    const answer = isA ? Buffer.concat([head, record]) : head;
    const send = (bytes: Buffer): void => this.#socket.send(bytes, port, address);
    switch (mannersOf(name)) {
      case "never":
        return;
      case "malformed":
        // one record more than there is
        answer.writeUInt16BE(isA ? 2 : 1, 6);
        send(answer);
        return;
      case "garbage first":
        send(Buffer.from("garbage"));
        send(Buffer.concat([raw.subarray(0, 2), Buffer.from("more of it")]));
        break;
      case "another's first": {
        const other = Buffer.from(answer);
        other[13] = (other[13] ?? 0) ^ 1;
        send(other);
        const otherId = Buffer.from(answer);
        otherId[0] = (otherId[0] ?? 0) ^ 0x55;
        send(otherId);
        break;
      }
      case "late":
        setTimeout(() => send(answer), 20);
        return;
      case "properly":
    }
    send(answer);
  }
}

export type Manners = "properly" | "garbage first" | "another's first" | "late" | "malformed" | "never";
const MANNERS: readonly Manners[] = ["garbage first", "another's first", "late", "late", "malformed", "never"];

/** How the resolver treats questions for a name in wire form. */
export function mannersOf(name: Uint8Array): Manners {
  return MANNERS[sumOf(name) % 16] ?? "properly";
}

/** The address that it gives the name. */
export function addressFor(name: Uint8Array): readonly [number, number, number, number] {
  const sum = sumOf(name);
  return [192, 0, sum % 200, (sum >>> 8) % 250];
}

function sumOf(name: Uint8Array): number {
  let sum = 7;
  for (const octet of name) sum = (Math.imul(sum, 31) + (octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet)) >>> 0;
  return sum >>> 3;
}
