import { afterEach, describe, expect, test } from "bun:test";
import { createConnection, type Socket } from "node:net";
import { startTcpService, type TcpService, type TcpServiceOptions } from "./tcp-service.ts";

const LOOPBACK = 0x7f000001;

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

/** A question is a number of two octets, and so is its answer. */
async function start(more: Partial<TcpServiceOptions> = {}): Promise<TcpService> {
  const service = await startTcpService({
    socket: { host: "127.0.0.1", port: 0 },
    mayAsk: (address) => address === LOOPBACK,
    answer: async (message) => message.slice(),
    ...more,
  });
  open.push(service);
  return service;
}

function framed(...numbers: readonly number[]): Buffer {
  return Buffer.concat(numbers.map((number) => Buffer.from([0, 2, number >>> 8, number & 255])));
}

/** A client that notes what it gets. */
class Client {
  readonly socket: Socket;
  readonly answers: number[] = [];
  readonly ended: Promise<void>;
  #received = Buffer.alloc(0);
  #watch = (): void => {};

  constructor(port: number, localAddress = "127.0.0.1") {
    this.socket = createConnection({ port, host: "127.0.0.1", localAddress, allowHalfOpen: true });
    this.socket.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      this.socket.on("end", resolve);
      this.socket.on("close", () => resolve());
    });
    this.socket.on("data", (data: Buffer) => {
      this.#received = Buffer.concat([this.#received, data]);
      while (this.#received.length >= 4) {
        expect(this.#received.readUInt16BE(0)).toBe(2);
        this.answers.push(this.#received.readUInt16BE(2));
        this.#received = this.#received.subarray(4);
      }
      this.#watch();
    });
    open.push({ close: () => this.socket.destroy() });
  }

  async until(count: number): Promise<readonly number[]> {
    while (this.answers.length < count) await new Promise<void>((resolve) => (this.#watch = resolve));
    return this.answers;
  }
}

async function untilState(isThere: () => boolean): Promise<void> {
  while (!isThere()) await Bun.sleep(2);
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("DNS over TCP", () => {
  test("a question that comes octet by octet, and the next one on the same connection", async () => {
    const { port } = await start();
    const client = new Client(port);
    client.socket.setNoDelay(true);
    for (const octet of framed(77)) {
      client.socket.write(Buffer.from([octet]));
      await Bun.sleep(1);
    }
    expect(await client.until(1)).toEqual([77]);
    client.socket.write(framed(78));
    expect(await client.until(2)).toEqual([77, 78]);
  });

  // dns-contract: tcp-pipelining
  test("many questions at once are answered as their answers are ready (RFC 7766)", async () => {
    const slow = Promise.withResolvers<void>();
    const { port } = await start({
      answer: async (message) => {
        if (message[1] === 0) await slow.promise;
        return message.slice();
      },
    });
    const client = new Client(port);
    client.socket.write(framed(0, 1, 2, 3));
    expect(new Set(await client.until(3))).toEqual(new Set([1, 2, 3]));
    slow.resolve();
    expect((await client.until(4)).at(-1)).toBe(0);
  });

  test("no more than 32 questions of one connection are answered at a time, and none is lost", async () => {
    let underWay = 0;
    let most = 0;
    const { port } = await start({
      answer: async (message) => {
        most = Math.max(most, ++underWay);
        await Bun.sleep(1);
        underWay--;
        return message.slice();
      },
    });
    const client = new Client(port);
    client.socket.write(framed(...numbers(1000)));
    const answers = await client.until(1000);
    expect(answers.toSorted((a, b) => a - b)).toEqual(numbers(1000));
    expect(most).toBe(32);
  });

  // dns-contract: tcp-half-close
  test("a client that says that it has asked all still gets all its answers", async () => {
    const { port } = await start({
      answer: async (message) => {
        await Bun.sleep(5);
        return message.slice();
      },
    });
    const client = new Client(port);
    client.socket.end(framed(...numbers(100)));
    await client.ended;
    expect(client.answers.toSorted((a, b) => a - b)).toEqual(numbers(100));
  });

  // dns-contract: tcp-idle
  test("a connection on which nothing is asked is closed", async () => {
    const service = await start({ idleMs: 50 });
    const client = new Client(service.port);
    await client.ended;
    await untilState(() => service.connections === 0);
  });

  // dns-contract: tcp-idle
  test("octets that drip do not keep a connection open, whole questions do", async () => {
    const service = await start({ idleMs: 150 });
    const [loris, honest] = [new Client(service.port), new Client(service.port)];
    const state = { isOpen: true };
    void loris.ended.then(() => (state.isOpen = false));
    let asked = 0;
    // A length of 65,535 octets, of which one comes every few milliseconds.
    loris.socket.write(Buffer.from([0xff, 0xff]));
    while (state.isOpen) {
      loris.socket.write(Buffer.from([1]));
      honest.socket.write(framed(asked++));
      await honest.until(asked);
      await Bun.sleep(10);
    }
    honest.socket.write(framed(9));
    expect((await honest.until(asked + 1)).at(-1)).toBe(9);
  });

  // dns-contract: tcp-cap
  test("one address holds a quarter of the connections at most", async () => {
    const service = await start({ maxConnections: 16 });
    const clients = numbers(6).map(() => new Client(service.port));
    await untilState(() => service.refused === 2);
    expect(service.connections).toBe(4);
    const survivors = clients.filter(({ socket }) => !socket.destroyed);
    for (const client of survivors) client.socket.write(framed(5));
    await untilState(() => survivors.reduce((sum, { answers }) => sum + answers.length, 0) === 4);
    survivors.find(({ answers }) => answers.length > 0)?.socket.destroy();
    await untilState(() => service.connections === 3);
    const late = new Client(service.port);
    late.socket.write(framed(6));
    expect(await late.until(1)).toEqual([6]);
  });

  // dns-contract: tcp-cap
  test("more connections than the cap are turned away, whoever holds them, until some end", async () => {
    const service = await start({ maxConnections: 16, mayAsk: () => true });
    const held = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"].flatMap((address) =>
      numbers(4).map(() => new Client(service.port, address)),
    );
    await untilState(() => service.connections === 16);
    expect(service.refused).toBe(0);
    const late = new Client(service.port, "127.0.0.5");
    await late.ended;
    expect(service.refused).toBe(1);
    for (const client of held) client.socket.write(framed(5));
    for (const client of held) expect(await client.until(1)).toEqual([5]);
    held[0]?.socket.destroy();
    await untilState(() => service.connections === 15);
    const later = new Client(service.port, "127.0.0.5");
    later.socket.write(framed(6));
    expect(await later.until(1)).toEqual([6]);
  });

  // dns-contract: strangers-tcp
  test("strangers are turned away and counted", async () => {
    const service = await start({ mayAsk: () => false });
    await new Client(service.port).ended;
    expect(service.refused).toBe(1);
    expect(service.connections).toBe(0);
  });

  // dns-contract: tcp-reads-nothing
  test("a client that does not take its answers is let go", async () => {
    const service = await start({ answer: async () => new Uint8Array(65_000) });
    const client = createConnection({ port: service.port, host: "127.0.0.1" });
    client.on("error", () => undefined);
    open.push({ close: () => client.destroy() });
    client.pause();
    client.write(framed(...numbers(400)));
    await untilState(() => service.connections === 1);
    await untilState(() => service.connections === 0);
  });

  test("what gets no answer ends the connection", async () => {
    const { port } = await start({ answer: async () => undefined });
    const client = new Client(port);
    client.socket.write(framed(1));
    await client.ended;
    expect(client.answers).toEqual([]);
  });

  test("at its end the service answers what was asked and waits for nobody for long", async () => {
    const asked = Promise.withResolvers<void>();
    const service = await start({
      answer: async (message) => {
        asked.resolve();
        await (message[1] === 1 ? Bun.sleep(50) : new Promise<never>(() => undefined));
        return message.slice();
      },
    });
    const [served, idle, stuck] = [new Client(service.port), new Client(service.port), new Client(service.port)];
    served.socket.write(framed(1));
    stuck.socket.write(framed(2));
    await asked.promise;
    await untilState(() => service.connections === 3);
    await service.close();
    await Promise.all([served.ended, idle.ended, stuck.ended]);
    expect(served.answers).toEqual([1]);
    expect(stuck.answers).toEqual([]);
  });
});
