import { createSocket, type Socket } from "node:dgram";
import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../model/address.ts";
import { BATCH_PACKETS, DatagramBatch } from "./datagram-batch.ts";
import {
  askForStamps,
  bindDatagram,
  closeDescriptor,
  MSG_DONTWAIT,
  realTimeMs,
  shareAddress,
  shareByOctet,
} from "./libc.ts";
import type { BatchRule, UdpHandlers, UdpSocket } from "./udp-port.ts";

/** Room for each datagram; a longer one is cut and so malformed. */
const PACKET_BYTES = 8_192;

/** Addresses of peers that are remembered in both forms. */
const MAX_ADDRESSES = 4_096;

/**
 * Binds one address twice and lets the kernel distribute the datagrams: urgent ones wake this process as usual, the others
 * are read every `pollMs`. A wake-up costs many times what a datagram costs: 255 a second take 0.5 % of a core this way, and
 * 0.8 % with a wake-up each. The kernel's time stamp says how long each one waited. Datagrams of one turn of the event loop
 * leave in one call. Linux only. Rejects when the address is not there or the port is taken.
 */
export async function bindBatched(
  address: string,
  port: number,
  rule: BatchRule,
  handlers: UdpHandlers,
): Promise<UdpSocket> {
  const descriptor = bindDatagram(numberOf(address), port, (unbound) => {
    shareAddress(unbound);
    askForStamps(unbound);
  });
  try {
    shareByOctet(descriptor, rule.typeAt, rule.urgentFrom);
    // The rule counts the sockets in the order in which they were bound: this one is the second.
    const urgent = await bindUrgent(address, port, handlers);
    return new BatchedSocket(descriptor, urgent, rule.pollMs, handlers);
  } catch (error) {
    closeDescriptor(descriptor);
    throw error;
  }
}

function bindUrgent(address: string, port: number, handlers: UdpHandlers): Promise<Socket> {
  const socket = createSocket({ type: "udp4", reusePort: true });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, address, () => {
      socket.off("error", reject);
      socket.on("error", (error) => handlers.onError(error));
      socket.on("message", (data, from) => handlers.onData(data, from.port, from.address, 0));
      resolve(socket);
    });
  });
}

class BatchedSocket implements UdpSocket {
  readonly #descriptor: number;
  readonly #urgent: Socket;
  readonly #pollMs: number;
  readonly #handlers: UdpHandlers;
  readonly #received: DatagramBatch;
  readonly #toSend: DatagramBatch;
  readonly #addresses = new Remembered(ipv4FromNumber);
  readonly #numbers = new Remembered(numberOf);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(descriptor: number, urgent: Socket, pollMs: number, handlers: UdpHandlers) {
    this.#descriptor = descriptor;
    this.#urgent = urgent;
    this.#pollMs = pollMs;
    this.#handlers = handlers;
    this.#received = new DatagramBatch(descriptor, { packetBytes: PACKET_BYTES, hasStamps: true });
    this.#toSend = new DatagramBatch(descriptor, { packetBytes: PACKET_BYTES });
    this.#schedule();
  }

  /** At whole multiples: timers of the same period then share a wake-up with this one. */
  #schedule(): void {
    const look = (): void => {
      this.#look();
      if (!this.#isClosed) this.#schedule();
    };
    this.#timer = setTimeout(look, this.#pollMs - (performance.now() % this.#pollMs));
  }

  send(data: Buffer, port: number, address: string): void {
    if (this.#isClosed || data.length > PACKET_BYTES) return;
    if (this.#toSend.waiting === 0) queueMicrotask(() => this.#flush());
    this.#toSend.add(data, this.#numbers.get(address), port);
    if (this.#toSend.waiting === BATCH_PACKETS) this.#flush();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#urgent.close();
    closeDescriptor(this.#descriptor);
  }

  #look(): void {
    const received = this.#received;
    let count = BATCH_PACKETS;
    while (count === BATCH_PACKETS && !this.#isClosed) {
      count = received.receive(MSG_DONTWAIT);
      const nowMs = count > 0 ? realTimeMs() : 0;
      for (let i = 0; i < count && !this.#isClosed; i++) {
        const waitedMs = Math.max(0, nowMs - (received.stampMsOf(i) ?? nowMs));
        const address = this.#addresses.get(received.addressOf(i));
        this.#handlers.onData(received.bytesOf(i), received.portOf(i), address, waitedMs);
      }
    }
    this.#flush();
  }

  /** What cannot leave is lost, as datagrams may be, and keeps nothing else back. */
  #flush(): void {
    if (!this.#isClosed) this.#toSend.send(MSG_DONTWAIT);
  }
}

/** Remembers the results of a function. */
class Remembered<From, To> {
  readonly #known = new Map<From, To>();
  readonly #make: (from: From) => To;

  constructor(make: (from: From) => To) {
    this.#make = make;
  }

  get(from: From): To {
    const known = this.#known.get(from);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_ADDRESSES) this.#known.clear();
    const made = this.#make(from);
    this.#known.set(from, made);
    return made;
  }
}

function numberOf(address: string): number {
  const parsed = parseIpv4(address);
  if (parsed === undefined) throw new Error(`${address} is not an IPv4 address`);
  return ipv4ToNumber(parsed);
}
