import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { decode, encode, streamEncode, type DecodedPacket } from "dns-packet";
import { cleanUp, cleanUps, container, setUp, web1, web2 } from "../dns/dns-world.ts";
import { FakeResolver, addressOf } from "../fake-resolver.ts";
import { askStatus } from "../../src/dns/operation/control-client.ts";

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

async function ask(port: number, type: string, name: string, host = "127.0.0.1"): Promise<DecodedPacket> {
  const answer = Promise.withResolvers<Buffer>();
  const socket = await Bun.udpSocket({
    connect: { hostname: host, port },
    socket: { data: (_socket, packet) => answer.resolve(packet), error: () => undefined },
  });
  const packet = encode({ type: "query", id: 7, flags: 0x100, questions: [{ type: type as "A", name }] });
  socket.send(packet);
  const again = setInterval(() => socket.send(packet), 1000);
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

async function untilAnswered(port: number, name: string): Promise<DecodedPacket> {
  for (;;) {
    const answer = await ask(port, "A", name);
    if (answer.answers!.length > 0) return answer;
    await Bun.sleep(5);
  }
}

describe("jiji dns serve by hand", () => {
  test("all its options do what they say", async () => {
    const upstream = await FakeResolver.start();
    cleanUps.push(() => upstream.close());
    const { put, settings, folder } = await setUp();
    await put(web1, 0, container("web", "10.77.0.2"));
    await put(web2, 0, container("web", "10.77.1.2"));
    const control = join(folder, "by-hand.sock");
    const state = join(folder, "by-hand.json");
    await writeFile(join(folder, "token"), "unneeded\n");
    const serving = await Serving.start(
      ...[
        "--listen",
        "127.0.0.1:0",
        "127.0.0.2:0",
        "--store",
        settings.store.url,
        "--token-file",
        join(folder, "token"),
      ],
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
    expect(dataOf(await ask(second.port, "PTR", "2.1.77.10.in-addr.arpa", "127.0.0.2"))).toEqual(["shop-web.jiji"]);
    expect(dataOf(await ask(serving.port, "A", "ns.jiji"))).toEqual(["10.77.1.1"]);
    expect(dataOf(await ask(serving.port, "A", "example.org"))).toEqual(["192.0.2.1"]);
    expect(await askStatus(control)).toMatchObject({ rows: 2, servers: 2 });
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
    serving.process.kill("SIGTERM");
    expect(await serving.process.exited).toBe(0);
    expect(existsSync(state)).toBe(true);
  }, 30_000);

  test.each([
    [["--listen", "127.0.0.1:0"], 2, "needs --listen and --store"],
    [["--listen", "localhost:53", "--store", "http://127.0.0.1:1"], 2, "listen"],
    [["--listen", "127.0.0.1:0", "--store", "ftp://nowhere"], 2, "no address of a store"],
    [["--listen", "127.0.0.1:0", "--store", "http://127.0.0.1:1", "--ttl", "soon"], 2, "ttl"],
    [["--listen", "127.0.0.1:0", "--store", "http://127.0.0.1:1", "--cidr", "10.0.0.0/30"], 2, "clusterCidr"],
    [["--listen", "127.0.0.1:0", "--store", "http://127.0.0.1:1", "--upstream", "dns.example"], 2, "upstreams"],
    [["--listne", "127.0.0.1:0"], 2, "--listen"],
    [["--settings", "/nonexistent/settings.json"], 3, "/nonexistent/settings.json"],
  ])("refuses %j", async (words, code, text) => {
    const refused = await refusal(...words);
    expect(refused.text).toContain(text);
    expect(refused.code).toBe(code);
  });

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
