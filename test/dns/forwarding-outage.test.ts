import { afterAll, describe, expect, test } from "bun:test";
import { ask, cleanUp } from "./dns-world.ts";
import { addressOf } from "../fake-resolver.ts";
import { metric, world } from "./forwarding-world.ts";

// Each waits for resolvers that say nothing, for seconds; so they wait at the same time, each in a world of its own.
afterAll(cleanUp);

describe("forwarding while resolvers fail", () => {
  // dns-contract: serve-stale
  test.concurrent("all resolvers down: what was known is told with a short TTL, the unknown fails; they come back: all is fresh", async () => {
    const { server, upstream } = await world();
    upstream.onQuestion = (asked) => asked.answer({ answers: [addressOf(asked, "192.0.2.1", 1)] });
    await ask(server, "A", "known.example");
    upstream.onQuestion = () => undefined;
    const before = upstream.asked.length;
    let answer = await ask(server, "A", "known.example");
    while (upstream.asked.length === before) answer = await ask(server, "A", "known.example");
    // The question was on its way to a resolver that said nothing.
    expect(answer).toMatchObject({ rcode: "NOERROR", answers: [{ data: "192.0.2.1", ttl: 30 }] });
    expect(await metric(server, "stale_answers_total")).toBeGreaterThanOrEqual(1);
    expect(await ask(server, "A", "unknown.example")).toMatchObject({ rcode: "SERVFAIL" });
    // By now it is known to be down, and nobody waits for it.
    const startMs = performance.now();
    expect(await ask(server, "A", "known.example")).toMatchObject({ answers: [{ data: "192.0.2.1", ttl: 30 }] });
    expect(performance.now() - startMs).toBeLessThan(1_000);
    upstream.onQuestion = (asked) => asked.answer({ answers: [addressOf(asked, "192.0.2.2", 60)] });
    for (;;) {
      const { answers } = await ask(server, "A", "known.example");
      if ((answers as { data: string }[])[0]!.data === "192.0.2.2") break;
    }
  }, 30_000);

  // dns-contract: garbage-resolver
  test.concurrent("a resolver that sends garbage costs an answer, is counted, and is logged once a minute", async () => {
    const { server, upstream, lines } = await world();
    upstream.onQuestion = ({ raw, send, answer }) => {
      for (let i = 0; i < 20; i++) send(Buffer.from(`garbage ${i}`));
      const cut = Buffer.from(raw);
      cut.writeUInt16BE(0x8180, 2);
      cut.writeUInt16BE(9, 6);
      send(cut);
      answer({ answers: [] });
    };
    const answers = await Promise.all(["a", "b"].map((name) => ask(server, "A", `${name}.example`)));
    expect(answers).toMatchObject([{ rcode: "SERVFAIL" }, { rcode: "SERVFAIL" }]);
    expect(await metric(server, "upstream_junk_total")).toBeGreaterThan(20);
    expect(await metric(server, "upstream_malformed_total")).toBeGreaterThan(2);
    expect(lines.filter((line) => line.includes("answers no question"))).toHaveLength(1);
    expect(lines.filter((line) => line.includes("cannot be read"))).toHaveLength(1);
  }, 30_000);
});
