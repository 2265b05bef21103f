import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { ipv4ToNumber, parseIpv4 } from "../../model/address.ts";
import { MAX_MESSAGE_BYTES } from "../wire/wire.ts";

export interface TcpServiceOptions {
  /** an address to bind, or a listening stream socket's descriptor */
  readonly socket: { readonly host: string; readonly port: number } | { readonly descriptor: number };
  /** Whether somebody at this address may ask. */
  readonly mayAsk: (address: number) => boolean;
  /** Gives the answer to a message, undefined for none (then the connection ends). Never rejects. */
  readonly answer: (message: Uint8Array, address: number) => Promise<Uint8Array | undefined>;
  readonly idleMs?: number;
  readonly maxConnections?: number;
}

/** A connection without a whole question for this long is closed (RFC 7766 §6.2.3). */
const IDLE_MS = 10_000;

const MAX_CONNECTIONS = 512;

/** One address may hold this part of the connections, so that it cannot keep the others out. */
const SHARE_OF_ONE = 1 / 4;

/** Questions of one connection that are being answered at once; further ones wait unread (RFC 7766 §6.2.1.1). */
const MAX_PIPELINED = 32;

/** How long the service waits at its end for questions that are being answered. */
const FINISH_MS = 2_000;

/** A client that does not take its answers is dropped when this much waits for it. */
const MAX_UNSENT_BYTES = 256 * 1024;

/**
 * DNS over TCP (RFC 7766): messages with a length before each, several per connection, answered in the order in which
 * their answers are ready. Rejects when the address cannot be bound.
 */
export async function startTcpService(options: TcpServiceOptions): Promise<TcpService> {
  const service = new TcpService(options);
  await service.listen();
  return service;
}

export class TcpService {
  readonly #options: TcpServiceOptions;
  readonly #server: Server;
  readonly #byAddress = new Map<number, number>();
  readonly #open = new Set<Connection>();
  /** connections that were turned away: strangers, or too many */
  refused = 0;

  constructor(options: TcpServiceOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  get port(): number {
    const address = this.#server.address() as AddressInfo | null;
    return address?.port ?? 0;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#open.size;
  }

  async listen(): Promise<void> {
    const { socket } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.once("listening", resolve);
      if ("descriptor" in socket) this.#server.listen({ fd: socket.descriptor });
      else this.#server.listen({ host: socket.host, port: socket.port, backlog: 511 });
    });
    // Later errors are of single connections (too many descriptors, say) and do not end the service.
    this.#server.on("error", () => this.refused++);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const connection of this.#open) connection.finish();
    // Questions under way are still answered, within a limit.
    const cut = setTimeout(() => {
      for (const connection of this.#open) connection.cut();
    }, FINISH_MS);
    await closed;
    clearTimeout(cut);
  }

  #accept(socket: Socket): void {
    const source = parseIpv4((socket.remoteAddress ?? "").replace(/^::ffff:/, ""));
    const address = source === undefined ? undefined : ipv4ToNumber(source);
    const max = this.#options.maxConnections ?? MAX_CONNECTIONS;
    const held = address === undefined ? 0 : (this.#byAddress.get(address) ?? 0);
    const isWelcome = address !== undefined && this.#options.mayAsk(address);
    if (!isWelcome || this.#open.size >= max || held >= max * SHARE_OF_ONE) {
      this.refused++;
      socket.on("error", () => undefined);
      socket.destroy();
      return;
    }
    this.#byAddress.set(address, held + 1);
    const connection = new Connection(socket, address, this.#options);
    this.#open.add(connection);
    socket.on("close", () => {
      this.#open.delete(connection);
      const left = (this.#byAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#byAddress.delete(address);
      else this.#byAddress.set(address, left);
    });
  }
}

/** One client. */
class Connection {
  readonly #socket: Socket;
  readonly #address: number;
  readonly #options: TcpServiceOptions;
  #received: Buffer = Buffer.alloc(0);
  #pending = 0;
  /** no more octets come, or none are wanted */
  #hasEnded = false;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Socket, address: number, options: TcpServiceOptions) {
    this.#socket = socket;
    this.#address = address;
    this.#options = options;
    socket.on("data", (data: Buffer) => this.#take(data));
    socket.on("end", () => this.#endOfQuestions());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => clearTimeout(this.#idle));
    this.#startIdle();
  }

  /** Takes no more questions; what is being answered still is. */
  finish(): void {
    this.#received = Buffer.alloc(0);
    this.#endOfQuestions();
  }

  cut(): void {
    this.#socket.destroy();
  }

  /** The client has asked its last question, and wants the answers (RFC 7766 §6.2.4); those that wait are read. */
  #endOfQuestions(): void {
    this.#hasEnded = true;
    this.#readQuestions();
    if (this.#pending === 0) this.#end();
  }

  #end(): void {
    clearTimeout(this.#idle);
    this.#socket.end();
    // A client that does not take the last octets and leave is cut off.
    this.#idle = setTimeout(() => this.#socket.destroy(), 1_000);
  }

  #startIdle(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#socket.destroy(), this.#options.idleMs ?? IDLE_MS);
  }

  #take(data: Buffer): void {
    if (this.#hasEnded) return;
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    this.#readQuestions();
  }

  /** Only whole questions keep a connection alive: one that drips octets runs out of time. */
  #readQuestions(): void {
    while (this.#received.length >= 2 && this.#pending < MAX_PIPELINED) {
      const length = this.#received.readUInt16BE(0);
      if (this.#received.length < 2 + length) break;
      const message = this.#received.subarray(2, 2 + length);
      this.#received = this.#received.subarray(2 + length);
      this.#pending++;
      this.#startIdle();
      void this.#options.answer(message, this.#address).then((answer) => this.#send(answer));
    }
    if (this.#hasEnded) return;
    if (this.#pending >= MAX_PIPELINED) this.#socket.pause();
    else this.#socket.resume();
  }

  #send(answer: Uint8Array | undefined): void {
    this.#pending--;
    if (this.#socket.destroyed) return;
    if (answer === undefined || answer.length > MAX_MESSAGE_BYTES) {
      this.#socket.destroy();
      return;
    }
    const framed = Buffer.allocUnsafe(2 + answer.length);
    framed.writeUInt16BE(answer.length, 0);
    framed.set(answer, 2);
    this.#socket.write(framed);
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) {
      this.#socket.destroy();
      return;
    }
    this.#readQuestions();
    if (this.#hasEnded && this.#pending === 0) this.#end();
  }
}
