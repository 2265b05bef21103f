import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { decode, encode, streamEncode, type DecodedPacket } from "dns-packet";
import { cleanUp, cleanUps, container, setUp, web1, web2 } from "../dns/dns-world.ts";
import { FakeAgent } from "../dns/fake-agent.ts";
import { FakeResolver, addressOf } from "../fake-resolver.ts";
import { askDns } from "../../src/dns/operation/control-client.ts";
import { Secret } from "../../src/model/secret.ts";

afterEach(cleanUp);

const PROGRAM = join(import.meta.dir, "..", "..", "src", "bin", "jiji.ts");

interface Where {
  readonly listening: readonly { host: string; port: number; protocol: string }[];
  readonly metrics: { host: string; port: number } | null;
}

/** A `jiji dns serve` of its own process. */
class Serving {
  readonly where: Where;
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly said: { text: string } = { text: "" };

  private constructor(process: Bun.Subprocess<"ignore", "pipe", "pipe">, where: Where) {
    this.process = process;
    this.where = where;
    void this.#listen();
  }

  static async start(...words: readonly string[]): Promise<Serving> {
    const process = spawn(words);
    const { value } = await process.stdout.getReader().read();
    return new Serving(process, JSON.parse(new TextDecoder().decode(value)) as Where);
  }

  get port(): number {
    return this.where.listening.find(({ protocol }) => protocol === "udp")!.port;
  }

  async untilSaid(text: string): Promise<void> {
    while (!this.said.text.includes(text)) await Bun.sleep(5);
  }

  async #listen(): Promise<void> {
    for await (const chunk of this.process.stderr) this.said.text += new TextDecoder().decode(chunk);
  }
}

function spawn(words: readonly string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  const child = Bun.spawn([process.execPath, "--no-env-file", PROGRAM, "dns", "serve", ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  cleanUps.push(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  return child;
}

/** What it says before it ends by itself. */
async function refusal(...words: readonly string[]): Promise<{ code: number; text: string }> {
  const child = spawn(words);
  const text = await new Response(child.stderr).text();
  return { code: await child.exited, text };
}

async function ask(
  port: number,
  type: string,
  name: string,
  { host = "127.0.0.1", againMs = 1000 } = {},
): Promise<DecodedPacket> {
  const answer = Promise.withResolvers<Buffer>();
  const socket = await Bun.udpSocket({
    connect: { hostname: host, port },
    socket: { data: (_socket, packet) => answer.resolve(packet), error: () => undefined },
  });
  const packet = encode({ type: "query", id: 7, flags: 0x100, questions: [{ type: type as "A", name }] });
  socket.send(packet);
  const again = setInterval(() => socket.send(packet), againMs);
  try {
    return decode(await answer.promise);
  } finally {
    clearInterval(again);
    socket.close();
  }
}

function dataOf({ answers = [] }: DecodedPacket): unknown[] {
  return answers.map((one) => (one as { data: unknown }).data);
}

/** The number in the metrics under that name and label. */
async function metricOf({ where }: Serving, name: string): Promise<number> {
  const { host, port } = where.metrics!;
  const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`jiji_dns_${name} `));
  if (line === undefined) throw new Error(`there is no ${name}`);
  return Number(line.split(" ").at(-1));
}

/** Asks something of each type and response code, and compares what the metrics count of it. */
async function countsEachQuestion(serving: Serving): Promise<void> {
  const questions = [
    ["A", "shop-web.jiji", "NOERROR"],
    ["A", "nobody.jiji", "NXDOMAIN"],
    ["AAAA", "shop-web.jiji", "NOERROR"],
    ["PTR", "2.1.77.10.in-addr.arpa", "NOERROR"],
    ["SRV", "_80._tcp.shop-web.jiji", "NOERROR"],
    ["TXT", "shop-web.jiji", "NOERROR"],
    ["SOA", "jiji", "NOERROR"],
    ["NS", "jiji", "NOERROR"],
    ["ANY", "shop-web.jiji", "NOERROR"],
    ["MX", "shop-web.jiji", "NOERROR"],
    ["A", "broken.example", "SERVFAIL"],
    ["A", "refused.example", "REFUSED"],
  ] as const;
  for (const [type, name, rcode] of questions) {
    const counters = [`questions_total{type="${type === "MX" ? "other" : type}"}`, `answers_total{rcode="${rcode}"}`];
    const before = await Promise.all(counters.map((counter) => metricOf(serving, counter)));
    // Once: what is asked again is counted again.
    expect(await ask(serving.port, type, name, { againMs: 60_000 })).toMatchObject({ rcode });
    const after = await Promise.all(counters.map((counter) => metricOf(serving, counter)));
    expect({ type, name, after }).toEqual({ type, name, after: before.map((count) => count + 1) });
  }
}

async function untilAnswered(port: number, name: string): Promise<DecodedPacket> {
  for (;;) {
    const answer = await ask(port, "A", name);
    if (answer.answers!.length > 0) return answer;
    await Bun.sleep(5);
  }
}

describe("jiji dns serve by hand", () => {
  // dns-contract: ttl-60, metrics-and-options
  test("all its options do what they say", async () => {
    const upstream = await FakeResolver.start();
    cleanUps.push(() => upstream.close());
    const token = new Secret("the-store-asks-for-this");
    upstream.onQuestion = (asked) => {
      const rcode = { "broken.example": 2, "refused.example": 5 }[asked.packet.questions![0]!.name] ?? 0;
      asked.answer(rcode === 0 ? { answers: [addressOf(asked, "192.0.2.1")] } : { flags: 0x180 | rcode });
    };
    const { put, settings, folder } = await setUp({}, { token });
    const agent = await FakeAgent.start();
    await put(web1, 0, container("web", "10.77.0.2"));
    await put(web2, 0, container("web", "10.77.1.2"));
    const control = join(folder, "by-hand.sock");
    const state = join(folder, "by-hand.json");
    await writeFile(join(folder, "token"), `${token.reveal()}\n`);
    const serving = await Serving.start(
      ...["--listen", "127.0.0.1:0", "127.0.0.2:0", "--store", settings.store.url],
      ...["--token-file", join(folder, "token"), "--agent-socket", agent.path],
      ...["--self", web2.id, "--cidr", "10.77.0.0/16", "--ttl", "7", "--local-first", "--upstream", upstream.endpoint],
      ...["--state", state, "--metrics", "127.0.0.1:0", "--control-socket", control],
    );
    expect(serving.where.listening.map(({ host, protocol }) => `${host} ${protocol}`)).toEqual([
      "127.0.0.1 udp",
      "127.0.0.1 tcp",
      "127.0.0.2 udp",
      "127.0.0.2 tcp",
    ]);
    await untilAnswered(serving.port, "shop-web.jiji");
    for (let i = 0; i < 6; i++) {
      const answer = await ask(serving.port, "A", "shop-web.jiji");
      expect(answer.answers).toMatchObject([
        { data: "10.77.1.2", ttl: 7 },
        { data: "10.77.0.2", ttl: 7 },
      ]);
    }
    const second = serving.where.listening.find(({ host }) => host === "127.0.0.2")!;
    expect(dataOf(await ask(second.port, "PTR", "2.1.77.10.in-addr.arpa", { host: "127.0.0.2" }))).toEqual([
      "shop-web.jiji",
    ]);
    expect(dataOf(await ask(serving.port, "A", "ns.jiji"))).toEqual(["10.77.1.1"]);
    expect(dataOf(await ask(serving.port, "A", "example.org"))).toEqual(["192.0.2.1"]);
    expect(await askDns(control, { type: "status" })).toMatchObject({ rows: 2, servers: 2 });
    // The agent's word counts, but who this server is was said by the option.
    agent.state({ unreachable: [web1.id] });
    while ((await ask(serving.port, "A", "shop-web.jiji")).answers!.length > 1) await Bun.sleep(5);
    expect(dataOf(await ask(serving.port, "A", "shop-web.jiji"))).toEqual(["10.77.1.2"]);
    const { host, port } = serving.where.metrics!;
    const metrics = await (await fetch(`http://${host}:${port}/metrics`)).text();
    const document = await readFile(join(import.meta.dir, "../../docs/dns.md"), "utf8");
    const [table = ""] = /^\| metrics \|[^]*?\n\n/m.exec(document) ?? [];
    const described = [...table.matchAll(/`([a-z_]+)(\*?)`/g)].map(([, name = "", star]) =>
      star === "*" ? name : `${name} `,
    );
    const served = [...metrics.matchAll(/^# TYPE jiji_dns_(\w+) /gm)].map(([, name]) => `${name ?? ""} `);
    expect(described.length).toBeGreaterThan(20);
    // What the document names is served; what is served besides is for contributors.
    expect(described.filter((one) => !served.some((name) => name.startsWith(one)))).toEqual([]);
    expect((await fetch(`http://${host}:${port}/`)).status).toBe(404);
    await countsEachQuestion(serving);
    serving.process.kill("SIGTERM");
    expect(await serving.process.exited).toBe(0);
    expect(existsSync(state)).toBe(true);
  }, 30_000);

  // dns-contract: refused-options
  test.each([
    [["--listen", "127.0.0.1:0"], 2, "needs --listen and --store"],
    [["--listen", "localhost:53", "--store", "http://127.0.0.1:1"], 2, "listen"],
    [["--listen", "127.0.0.1:0", "--store", "ftp://nowhere"], 2, "no address of a store"],
    [["--listen", "127.0.0.1:0", "--store", "http://127.0.0.1:1", "--ttl", "soon"], 2, "ttl"],
    [["--listen", "127.0.0.1:0", "--store", "http://127.0.0.1:1", "--cidr", "10.0.0.0/30"], 2, "clusterCidr"],
    [["--listen", "127.0.0.1:0", "--store", "http://127.0.0.1:1", "--upstream", "dns.example"], 2, "upstreams"],
    [["--listne", "127.0.0.1:0"], 2, "--listen"],
    [["--settings", "/nonexistent/settings.json"], 3, "/nonexistent/settings.json"],
    [["--settings", "/nonexistent/settings.json", "--ttl", "5"], 2, "cannot be used with option '--ttl <seconds>'"],
    [["--local-first", "--settings", "/nonexistent/settings.json"], 2, "cannot be used with option '--local-first'"],
  ])("refuses %j", async (words, code, text) => {
    const refused = await refusal(...words);
    expect(refused.text).toContain(text);
    expect(refused.code).toBe(code);
  });

  // dns-contract: port-taken
  test("says what to do when its port is taken", async () => {
    const { settings } = await setUp();
    const first = await Serving.start("--listen", "127.0.0.1:0", "--store", settings.store.url);
    const second = await refusal("--listen", `127.0.0.1:${first.port}`, "--store", settings.store.url);
    expect(second.code).toBe(1);
    expect(second.text).toContain(`127.0.0.1:${first.port}`);
    expect(second.text).toContain("ss -lunpt");
  });
});

describe("signals", () => {
  // dns-contract: saved-table-at-start
  test("SIGKILL, as by a power failure: what was saved while it ran is answered without the store", async () => {
    const { put, settings, folder } = await setUp();
    await put(web1, 0, container("web", "10.210.0.2"));
    const state = join(folder, "by-hand.json");
    const first = await Serving.start("--listen", "127.0.0.1:0", "--store", settings.store.url, "--state", state);
    while (!existsSync(state)) await Bun.sleep(5);
    first.process.kill("SIGKILL");
    await first.process.exited;
    const second = await Serving.start("--listen", "127.0.0.1:0", "--store", "http://127.0.0.1:1", "--state", state);
    expect(dataOf(await ask(second.port, "A", "shop-web.jiji"))).toEqual(["10.210.0.2"]);
  }, 30_000);

  // dns-contract: sighup
  test("SIGHUP reads the settings again; what cannot be read changes nothing", async () => {
    const { put, settings, folder } = await setUp();
    await put(web1, 0, container("web", "10.210.0.2"));
    const file = join(folder, "settings.json");
    await writeFile(file, JSON.stringify(settings));
    const serving = await Serving.start("--settings", file);
    expect(await untilAnswered(serving.port, "shop-web.jiji")).toMatchObject({ answers: [{ ttl: 60 }] });
    await writeFile(file, JSON.stringify({ ...settings, ttlSeconds: 11 }));
    serving.process.kill("SIGHUP");
    await serving.untilSaid("settings were read again");
    expect(await ask(serving.port, "A", "shop-web.jiji")).toMatchObject({ answers: [{ ttl: 11 }] });
    await writeFile(file, "{");
    serving.process.kill("SIGHUP");
    await serving.untilSaid("settings were not taken over");
    expect(await ask(serving.port, "A", "shop-web.jiji")).toMatchObject({ answers: [{ ttl: 11 }] });
  }, 30_000);

  // dns-contract: sigterm
  test("SIGTERM: what was asked is still answered, over UDP and TCP, then it ends with 0", async () => {
    const upstream = await FakeResolver.start();
    cleanUps.push(() => upstream.close());
    upstream.onQuestion = (asked) => setTimeout(() => asked.answer({ answers: [addressOf(asked, "192.0.2.5")] }), 600);
    const { settings } = await setUp();
    const serving = await Serving.start(
      ...["--listen", "127.0.0.1:0", "--store", settings.store.url, "--upstream", upstream.endpoint],
    );
    const udp = ask(serving.port, "A", "udp.example");
    const socket = createConnection(serving.port, "127.0.0.1");
    cleanUps.push(() => socket.destroy());
    socket.write(streamEncode({ type: "query", id: 9, flags: 0x100, questions: [{ type: "A", name: "tcp.example" }] }));
    const tcp = new Promise<Buffer>((resolve) => socket.once("data", resolve));
    await upstream.untilAsked(2);
    serving.process.kill("SIGTERM");
    expect(dataOf(await udp)).toEqual(["192.0.2.5"]);
    expect(dataOf(decode((await tcp).subarray(2)))).toEqual(["192.0.2.5"]);
    const endMs = performance.now();
    expect(await serving.process.exited).toBe(0);
    expect(performance.now() - endMs).toBeLessThan(4_000);
  }, 30_000);
});
