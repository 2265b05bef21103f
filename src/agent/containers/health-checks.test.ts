import { afterEach, describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import type { Ipv4 } from "../../model/address.ts";
import type { Clock } from "../../system/host.ts";
import { parseCheck, type CheckSpec } from "./check-spec.ts";
import { checkOnce, HealthChecks, type CheckedContainer } from "./health-checks.ts";

const SPEC: CheckSpec = {
  protocol: "tcp",
  port: 80,
  path: "/",
  intervalMs: 5_000,
  timeoutMs: 2_000,
  successes: 1,
  failures: 3,
};

const parse = (labels: Record<string, string>): { check: CheckSpec | undefined; problems: string[] } => {
  const problems: string[] = [];
  return { check: parseCheck(new Map(Object.entries(labels)), problems), problems };
};

describe("labels", () => {
  test.each([
    ["tcp:5432", { protocol: "tcp", port: 5432 }],
    ["http:80/", { protocol: "http", port: 80, path: "/" }],
    ["http:8080/health?x=1", { protocol: "http", port: 8080, path: "/health?x=1" }],
    ["http:80", { protocol: "http", port: 80, path: "/" }],
  ])("%s", (text, expected) => {
    expect(parse({ "jiji.check": text })).toEqual({ check: { ...SPEC, ...expected } as CheckSpec, problems: [] });
  });

  test.each(["", "tcp", "tcp:0", "tcp:65536", "udp:53", "http:80/a b", "http:80/\r\nX: y", "http://evil/", "tcp:80/x"])(
    "%j is ignored and said",
    (text) => {
      const { check, problems } = parse({ "jiji.check": text });
      expect(check).toBeUndefined();
      expect(problems).toHaveLength(1);
    },
  );

  test("interval, time-out and thresholds; never more often than once a second", () => {
    const labels = {
      "jiji.check": "tcp:80",
      "jiji.check.interval": "10ms",
      "jiji.check.timeout": "500ms",
      "jiji.check.healthy": "2",
      "jiji.check.unhealthy": "5",
    };
    expect(parse(labels).check).toEqual({ ...SPEC, intervalMs: 1_000, timeoutMs: 500, successes: 2, failures: 5 });
    const { check, problems } = parse({
      "jiji.check": "tcp:80",
      "jiji.check.interval": "soon",
      "jiji.check.healthy": "0",
    });
    expect(check).toEqual(SPEC);
    expect(problems).toHaveLength(2);
  });

  test("without the label there is no check", () => {
    expect(parse({ "jiji.check.interval": "5s" })).toEqual({ check: undefined, problems: [] });
  });
});

describe("a container's state", () => {
  /** Runs through results without time passing, and gives the state after each. */
  async function states(spec: Partial<CheckSpec>, results: readonly boolean[]): Promise<string[]> {
    const seen: string[] = [];
    const pauses: number[] = [];
    const left = [...results];
    const clock = {
      nowMs: () => 0,
      monotonicMs: () => 0,
      sleep: (ms: number) => {
        seen.push(checks.stateOf("a"));
        pauses.push(ms);
        return left.length > 0 ? Promise.resolve() : new Promise<void>(() => undefined);
      },
    } satisfies Clock;
    const checks = new HealthChecks({ clock, onChange: () => undefined, check: async () => left.shift() ?? false });
    checks.update([{ id: "a", address: "10.210.3.2" as Ipv4, startedAt: "1", spec: { ...SPEC, ...spec } }]);
    while (seen.length < results.length) await Bun.sleep(0);
    checks.close();
    for (const [at, ms] of pauses.entries()) expect(ms).toBe(seen[at] === "starting" ? 1_000 : 5_000);
    return seen;
  }

  test("one success makes healthy, three failures in a row unhealthy", async () => {
    expect(await states({}, [false, true, false, false, true, false, false, false, true])).toEqual([
      "starting",
      "healthy",
      "healthy",
      "healthy",
      "healthy",
      "healthy",
      "healthy",
      "unhealthy",
      "healthy",
    ]);
  });

  test("thresholds count results in a row", async () => {
    expect(await states({ successes: 2, failures: 1 }, [true, false, true, true, false])).toEqual([
      "starting",
      "unhealthy",
      "unhealthy",
      "healthy",
      "unhealthy",
    ]);
  });

  test("another start or address begins anew, and the same goes on", async () => {
    let asked = 0;
    const clock: Clock = { nowMs: () => 0, monotonicMs: () => 0, sleep: () => new Promise<void>(() => undefined) };
    const check = async (): Promise<boolean> => {
      asked++;
      return true;
    };
    const checks = new HealthChecks({ clock, onChange: () => undefined, check });
    const container: CheckedContainer = { id: "a", address: "10.210.3.2" as Ipv4, startedAt: "1", spec: SPEC };
    checks.update([container]);
    while (checks.stateOf("a") !== "healthy") await Bun.sleep(0);
    checks.update([{ ...container }]);
    expect(checks.stateOf("a")).toBe("healthy");
    checks.update([{ ...container, startedAt: "2" }]);
    expect(checks.stateOf("a")).toBe("starting");
    while (checks.stateOf("a") !== "healthy") await Bun.sleep(0);
    expect(asked).toBe(2);
    checks.close();
  });
});

describe("one check", () => {
  let server: Server | undefined;

  afterEach(() => server?.close());

  /** Something that answers every connection with these texts, one after the other. */
  async function answering(...texts: readonly string[]): Promise<number> {
    server = createServer((socket) => {
      socket.on("error", () => undefined);
      for (const text of texts) socket.write(text);
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    return (server.address() as { port: number }).port;
  }

  const check = (port: number, change: Partial<CheckSpec> = {}): Promise<boolean> =>
    checkOnce("127.0.0.1" as Ipv4, { ...SPEC, port, timeoutMs: 300, ...change }, new AbortController().signal);

  test("tcp: a connection that is accepted", async () => {
    const port = await answering();
    expect(await check(port)).toBe(true);
    server?.close();
    expect(await check(port)).toBe(false);
  });

  test.each([
    ["HTTP/1.1 200 OK\r\n\r\n", true],
    ["HTTP/1.0 204 No Content\r\n\r\n", true],
    ["HTTP/1.1 302 Found\r\nLocation: http://198.51.100.1/\r\n\r\n", true],
    ["HTTP/1.1 404 Not Found\r\n\r\n", false],
    ["HTTP/1.1 500 \r\n\r\n", false],
    ["SSH-2.0-OpenSSH\r\n", false],
    ["", false],
    ["x".repeat(100_000), false],
  ])("http: %j", async (answer, isGood) => {
    expect(await check(await answering(answer), { protocol: "http" })).toBe(isGood);
  });

  test("http: a redirect is an answer, and nobody goes where it leads", async () => {
    let visits = 0;
    const elsewhere = createServer(() => visits++);
    await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
    const { port } = elsewhere.address() as { port: number };
    const redirect = `HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:${port}/\r\nContent-Length: 0\r\n\r\n`;
    expect(await check(await answering(redirect), { protocol: "http" })).toBe(true);
    await Bun.sleep(20);
    elsewhere.close();
    expect(visits).toBe(0);
  });

  test("http: no more than 4 kB is read of who never comes to the point", async () => {
    let written = 0;
    server = createServer((socket) => {
      const feed = (): void => {
        while (written < 50_000_000 && socket.write("x".repeat(1_000))) written += 1_000;
      };
      socket.on("error", () => undefined).on("drain", feed);
      feed();
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    expect(await check(port, { protocol: "http", timeoutMs: 10_000 })).toBe(false);
    // what the two kernels hold for each other, and nothing like all of it
    expect(written).toBeLessThan(20_000_000);
  });

  test("http: a status that comes in pieces", async () => {
    expect(await check(await answering("HT", "TP/1.1 2", "00 OK\r\n"), { protocol: "http" })).toBe(true);
  });

  test("gives up when it is told to", async () => {
    const stop = new AbortController();
    const port = await answering();
    const result = checkOnce("127.0.0.1" as Ipv4, { ...SPEC, port, protocol: "http", timeoutMs: 60_000 }, stop.signal);
    stop.abort();
    expect(await result).toBe(false);
  });
});
