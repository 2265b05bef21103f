import { describe, expect, test } from "bun:test";
import { FakeHost } from "../../test/fake-host.ts";
import { callNode } from "../../test/node-call.ts";
import { nodeFactsSchema } from "../model/node/observe.ts";
import { finding } from "../model/finding.ts";
import { nodeStatusSchema } from "../model/node/status.ts";
import { REMOTE_SUBCOMMANDS, SUBCOMMANDS } from "../model/node/subcommands.ts";
import { ABSENT } from "../model/reading.ts";
import { MAX_REQUEST_BYTES, readRequest } from "./run-node.ts";

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

test("the request is the first line, however it is cut; the end of the input closes", async () => {
  const { line, closed } = await readRequest(chunks('{"a"', ":1}\nrest", "more"));
  expect(line).toBe('{"a":1}');
  await closed;
  expect((await readRequest(chunks("no newline"))).line).toBe("no newline");
  expect((await readRequest(chunks())).line).toBe("");
});

test("an endless request is refused", async () => {
  expect(await callNode("apply", "x".repeat(MAX_REQUEST_BYTES + 1))).toEqual({
    code: 1,
    lines: [{ type: "failed", message: "the request is too long" }],
  });
});

test("a refused request says where it is malformed and never what stood there", async () => {
  const host = new FakeHost();
  const secret = "s3cr3t".repeat(8);
  const goal = { phase: "join", spec: {}, members: [secret], expected: [] };
  const { code, lines } = await callNode("apply", { goal, dryRun: "no", storeToken: secret }, undefined, { host });
  expect(code).toBe(1);
  expect(JSON.stringify(lines)).toContain("dryRun");
  expect(JSON.stringify(lines)).not.toContain(secret);
  expect(host.log).toEqual([]);
});

describe.each([...REMOTE_SUBCOMMANDS])("%s", (name) => {
  test("has the shapes of its request and its answer", () => {
    expect(SUBCOMMANDS[name].request.safeParse({ s3cr3t: "s3cr3t" }).success).toBe(false);
    expect(SUBCOMMANDS[name].answer.safeParse({ type: "s3cr3t" }).success).toBe(false);
  });

  test("refuses a malformed request with one line that does not repeat it, and touches nothing", async () => {
    for (const request of ["s3cr3t", '{"s3cr3t":', { s3cr3t: "s3cr3t" }, ["s3cr3t"], "s3cr3t".repeat(1000)]) {
      const host = new FakeHost();
      const { code, lines } = await callNode(name, request, undefined, { host });
      expect({ code, lines }).toMatchObject({ code: 1, lines: [{ type: "failed" }] });
      expect(JSON.stringify(lines)).not.toContain("s3cr3t");
      expect([host.log, host.changes]).toEqual([[], 0]);
    }
  });
});

describe("an answer of another release", () => {
  const status = {
    identity: ABSENT,
    version: "9.0.0",
    members: [{ id: "x", name: "web1", subnet: 1 }],
    wireguard: ABSENT,
    units: {},
    store: ABSENT,
    dns: ABSENT,
    agent: ABSENT,
    engine: ABSENT,
    containers: ABSENT,
    problems: ["jiji-dns.service is failed"],
  };

  test("may have keys that nobody knows here, and lack lists that were added later", () => {
    const { problems: _, ...rest } = status;
    expect(nodeStatusSchema.parse({ ...status, weather: "fine" })).toEqual({
      ...rest,
      members: [{ id: "x", name: "web1", subnet: 1, firstSeenMs: null }],
      findings: [finding("other", { words: "jiji-dns.service is failed" })],
    } as never);
  });

  test("is refused where an identity does not belong to its key", () => {
    const value = { id: "0".repeat(32), idKey: Buffer.alloc(32).toString("base64"), name: "web1", subnet: 0 };
    expect(nodeStatusSchema.safeParse({ ...status, identity: { state: "found", value } }).success).toBe(false);
    expect(nodeFactsSchema.shape.identity.safeParse({ state: "found", value }).success).toBe(false);
  });
});
