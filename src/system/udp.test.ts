import { afterEach, describe, expect, test } from "bun:test";
import { systemUdp } from "./udp.ts";
import type { UdpHandlers, UdpSocket } from "./udp-port.ts";

const open: { close(): void }[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** Datagrams whose first octet is below 128 can wait. */
const RULE = { typeAt: 0, urgentFrom: 128 };

const kinds: readonly [string, (address: string, port: number, handlers: UdpHandlers) => Promise<UdpSocket>][] = [
  ["woken", (address, port, handlers) => systemUdp.bind(address, port, handlers)],
  ["batched", (address, port, handlers) => systemUdp.bindBatched(address, port, { ...RULE, pollMs: 2 }, handlers)],
];

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 3_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await Bun.sleep(1);
  }
}

const quiet: UdpHandlers = { onData: () => undefined, onError: () => undefined };

describe.each(kinds)("a datagram socket that is %s", (_, bind) => {
  test("hears who sent what, and answers", async () => {
    const heard: string[] = [];
    const answers: string[] = [];
    const a: UdpSocket = await bind("127.9.0.1", 42_001, {
      onData: (data, port, address) => {
        heard.push(`${data.toString()} ${address}:${port}`);
        a.send(Buffer.from("back"), port, address);
      },
      onError: () => undefined,
    });
    const b = await bind("127.9.0.2", 42_002, {
      onData: (data, port, address) => answers.push(`${data.toString()} ${address}:${port}`),
      onError: () => undefined,
    });
    open.push(a, b);
    b.send(Buffer.from("there"), 42_001, "127.9.0.1");
    await until("an answer", () => answers.length === 1);
    expect(heard).toEqual(["there 127.9.0.2:42002"]);
    expect(answers).toEqual(["back 127.9.0.1:42001"]);
  });

  test("loses nothing of many at once, in their order, up to 8 kB each", async () => {
    const heard: string[] = [];
    const onData = (data: Buffer): void => void heard.push(`${data.readUInt16BE(0)}:${data.length}`);
    const a = await bind("127.9.0.1", 42_001, { onData, onError: () => undefined });
    const b = await bind("127.9.0.2", 42_002, quiet);
    open.push(a, b);
    const sent: string[] = [];
    for (let n = 0; n < 150; n++) {
      const data = Buffer.alloc(n === 77 ? 8_000 : 2 + (n % 50), n);
      data.writeUInt16BE(n, 0);
      sent.push(`${n}:${data.length}`);
      b.send(data, 42_001, "127.9.0.1");
    }
    await until("all", () => heard.length === sent.length);
    expect(heard).toEqual(sent);
  });

  test("what cannot leave keeps nothing else back", async () => {
    const heard: string[] = [];
    const onData = (data: Buffer): void => void heard.push(data.toString());
    const a = await bind("127.9.0.1", 42_001, { onData, onError: () => undefined });
    const b = await bind("127.9.0.2", 42_002, quiet);
    open.push(a, b);
    // a socket of loopback reaches nobody outside
    b.send(Buffer.from("lost"), 42_001, "198.51.100.1");
    b.send(Buffer.from("kept"), 42_001, "127.9.0.1");
    await until("the other", () => heard.length === 1);
    expect(heard).toEqual(["kept"]);
  });

  test("an address that is not there, or a port that is taken, is refused; a closed socket frees it", async () => {
    await expect(bind("198.51.100.77", 42_001, quiet)).rejects.toThrow();
    const a = await bind("127.9.0.1", 42_001, quiet);
    await expect(systemUdp.bind("127.9.0.1", 42_001, quiet)).rejects.toThrow();
    a.close();
    a.close();
    a.send(Buffer.from("x"), 42_001, "127.9.0.1");
    open.push(await bind("127.9.0.1", 42_001, quiet));
  });
});

test("what is urgent does not wait for the rest, and what waited says how long", async () => {
  const heard: { kind: number; waitedMs: number }[] = [];
  const onData = (data: Buffer, _port: number, _address: string, waitedMs: number): void =>
    void heard.push({ kind: data[0] ?? -1, waitedMs });
  const a = await systemUdp.bindBatched(
    "127.9.0.1",
    42_001,
    { ...RULE, pollMs: 100 },
    { onData, onError: () => undefined },
  );
  const b = await systemUdp.bind("127.9.0.2", 42_002, quiet);
  open.push(a, b);
  let longestMs = 0;
  // on a busy machine the next look may follow at once
  for (let attempt = 0; attempt < 50 && longestMs <= 10; attempt++) {
    heard.length = 0;
    // right after a look: the next one is nearly 100 ms away
    b.send(Buffer.of(1), 42_001, "127.9.0.1");
    await until("the first look", () => heard.length === 1);
    for (const kind of [2, 3, 200]) b.send(Buffer.of(kind), 42_001, "127.9.0.1");
    await until("all", () => heard.length === 4);
    expect(heard.find(({ kind }) => kind === 200)?.waitedMs).toBe(0);
    const [second, third] = [2, 3].map((kind) => heard.find((each) => each.kind === kind)?.waitedMs ?? NaN);
    expect(second).toBeLessThan(2000);
    expect(third).toBeLessThan(2000);
    if (heard[1]?.kind === 200) longestMs = Math.max(longestMs, second ?? 0);
  }
  expect(longestMs).toBeGreaterThan(10);
});

test("a connected socket hears that nobody listens", async () => {
  let code: unknown;
  const socket = await systemUdp.connect("127.9.0.2", "127.9.0.1", 42_003, {
    onData: () => undefined,
    onError: (error) => (code = "code" in error ? error.code : undefined),
  });
  open.push(socket);
  socket.send(Buffer.from("x"));
  await until("refused", () => code === "ECONNREFUSED");
});
