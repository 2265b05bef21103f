import { mkdtemp, rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStoreClient } from "../../src/store/client.ts";
import { startEmbeddedStore } from "../../src/store/embedded/embedded.ts";
import { systemClock } from "../../src/system/clock.ts";
import { container, web1, web2 } from "../dns/dns-world.ts";
import { sortedAnswer } from "../dns/dns-answer-text.ts";
import { DnsModel, type ModelAnswer } from "../dns/dns-model.ts";
import { HostileResolver } from "./hostile-resolver.ts";

const PROGRAM = join(import.meta.dir, "..", "..", "src", "bin", "jiji.ts");

/** Rows of two servers, good and hostile ones. */
function rows(): readonly (readonly [owner: string, n: number, record: string])[] {
  const made: [string, number, string][] = [];
  for (let n = 0; n < 120; n++) made.push([web1.id, n, container("many", `10.210.0.${n + 2}`)]);
  for (let n = 0; n < 40; n++) {
    const more = { instance: `i${n % 5}` as never, ports: [{ port: 80, protocol: "tcp" as const }] };
    made.push([
      web2.id,
      n,
      container(`s${n % 9}`, `10.210.1.${n + 2}`, n % 7 === 0 ? { ...more, state: "unhealthy" } : more),
    ]);
  }
  const good = JSON.parse(container("evil", "10.210.1.200")) as object;
  const hostile = [
    "",
    "{",
    "null",
    JSON.stringify({ ...good, service: "not a label" }),
    JSON.stringify({ ...good, service: "x".repeat(64) }),
    JSON.stringify({ ...good, address: "192.0.2.1" }),
    JSON.stringify({ ...good, address: "10.210.0.2" }),
    JSON.stringify({ ...good, address: "10.210.1.1" }),
    JSON.stringify({ ...good, rev: Number.MAX_SAFE_INTEGER }),
    JSON.stringify({ ...good, containerId: undefined }),
    JSON.stringify({ ...good, ports: [{ port: 0, protocol: "tcp" }] }),
    JSON.stringify({ ...good, meta: { image: "\u0000".repeat(900) } }),
  ];
  for (const [index, record] of hostile.entries()) made.push([web2.id, 100 + index, record]);
  made.push(["somebody", 0, container("stranger", "10.210.1.9")]);
  return made;
}

/** A real `jiji dns serve` with a store and a hostile resolver, and what a model says of the same rows. */
export class Served {
  readonly port: number;
  readonly #model: DnsModel;
  readonly #answers = new Map<string, ModelAnswer>();
  readonly resolver: HostileResolver;
  readonly lines: string[] = [];
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #metrics: string;
  readonly #cleanUps: readonly (() => unknown)[];

  private constructor(
    process: Bun.Subprocess<"ignore", "pipe", "pipe">,
    where: { listening: { port: number }[]; metrics: { host: string; port: number } },
    model: DnsModel,
    resolver: HostileResolver,
    cleanUps: readonly (() => unknown)[],
  ) {
    this.#process = process;
    this.port = where.listening[0]?.port ?? 0;
    this.#metrics = `http://${where.metrics.host}:${where.metrics.port}/metrics`;
    this.#model = model;
    this.resolver = resolver;
    this.#cleanUps = cleanUps;
    void this.#readLines();
  }

  static async start(): Promise<Served> {
    const folder = await mkdtemp(join(tmpdir(), "jiji-fuzz-"));
    const store = await startEmbeddedStore({
      listen: { host: "127.0.0.1", port: 0 },
      databasePath: join(folder, "state.db"),
      clock: systemClock,
    });
    const client = openStoreClient({ url: store.url });
    const model = new DnsModel([10, 210], 16);
    model.nowMs = Date.now();
    model.servers = [web1, web2].map(({ id, name, subnet }) => ({ id, name, subnet }));
    for (const { signed } of [web1, web2]) {
      const sql = "INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)";
      await client.transact([{ sql, params: [signed.id, signed.record, signed.sig] }]);
    }
    for (const [owner, n, record] of rows()) {
      const sql = "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)";
      await client.transact([{ sql, params: [owner, n, record] }]);
      model.set(owner, n, record);
    }
    const resolver = await HostileResolver.start();
    const words = ["dns", "serve", "--listen", "127.0.0.1:0", "--store", store.url, "--upstream", resolver.endpoint];
    const options = ["--metrics", "127.0.0.1:0", "--state", join(folder, "table.json")];
    const child = Bun.spawn([process.execPath, "--no-env-file", PROGRAM, ...words, ...options], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const kill = (): void => child.kill("SIGKILL");
    process.once("exit", kill);
    const cleanUps = [
      () => process.off("exit", kill),
      () => resolver.close(),
      () => client.close(),
      () => store.close(),
      () => rm(folder, { recursive: true, force: true }),
    ];
    const { value } = await child.stdout.getReader().read();
    const where = JSON.parse(new TextDecoder().decode(value)) as never;
    return new Served(child, where, model, resolver, cleanUps);
  }

  /** What the model says of a name and a type; the rows stay as they are, so it is asked once. */
  expected(name: string, type: string): ModelAnswer {
    const key = `${type} ${name}`;
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    if (this.#answers.size > 50_000) this.#answers.clear();
    const answer = sortedAnswer(this.#model.answer(name, type));
    this.#answers.set(key, answer);
    return answer;
  }

  /** null while it runs */
  get exitCode(): number | null {
    return this.#process.exitCode;
  }

  /** What it holds in memory; 0 where that cannot be read. */
  get residentMegabytes(): number {
    try {
      const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.#process.pid}/status`, "utf8")) ?? [];
      return Math.round(Number(kilobytes) / 102.4) / 10;
    } catch {
      return 0;
    }
  }

  async metrics(): Promise<ReadonlyMap<string, number>> {
    const text = await (await fetch(this.#metrics)).text();
    const lines = text.split("\n").filter((line) => line.startsWith("jiji_dns_"));
    return new Map(lines.map((line) => [line.slice(9, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]));
  }

  /** Ends it as systemd would; gives its exit code. */
  async close(): Promise<number> {
    this.#process.kill("SIGTERM");
    const code = await this.#process.exited;
    for (const cleanUp of this.#cleanUps) await cleanUp();
    return code;
  }

  async #readLines(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stderr) {
      this.lines.push(
        ...decoder
          .decode(chunk, { stream: true })
          .split("\n")
          .filter((line) => line !== ""),
      );
    }
  }
}
