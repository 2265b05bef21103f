import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import type { Handler } from "../../src/node/call.ts";
import { runNodeGc, type GcSources } from "../../src/node/gc.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { encodeIdentityFile, parseIdentityFile } from "../../src/model/identity.ts";
import { encodeMembersFile } from "../../src/model/members-file.ts";
import type { GcDone, GcLine, GcRequest } from "../../src/model/node/gc.ts";
import { encodeNodeSpecFile } from "../../src/model/node-spec.ts";
import { PATHS } from "../../src/model/paths.ts";
import { found } from "../../src/model/reading.ts";
import { openStoreClient } from "../../src/store/client.ts";
import type { StoreClient } from "../../src/store/store.ts";
import { FakeHost } from "../fake-host.ts";
import { callNode } from "../node-call.ts";
import { sampleRecord, sampleSpec } from "../sample-spec.ts";
import { IMPLEMENTATIONS, TOKEN, type StoreUnderTest } from "./store-under-test.ts";

/** `jiji node gc` against each store: what it asks and what it deletes. */
describe.each(IMPLEMENTATIONS)("garbage in $name", ({ start }) => {
  let store: StoreUnderTest;
  let client: StoreClient;
  const identity = encodeIdentityFile("web1", 0, generateKeyPairSync("ed25519").privateKey);
  const self = parseIdentityFile(identity)?.identity.id ?? "";
  const web2 = sampleRecord("web2", 1);
  const old1 = sampleRecord("old1", 2);
  const host = new FakeHost({
    files: {
      [PATHS.spec]: encodeNodeSpecFile(sampleSpec()),
      [PATHS.identity]: identity,
      [PATHS.members]: encodeMembersFile({
        version: 1,
        members: [web2],
        removed: [{ id: old1.id, name: "old1", subnet: 2 }],
      }),
    },
  });

  beforeAll(async () => {
    store = await start();
    client = openStoreClient({ url: store.url, token: TOKEN });
    const insert = "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)";
    await client.transact([
      ...[self, web2.id, old1.id, "it's; nobody's"].map((owner) => ({ sql: insert, params: [owner, 0, "x"] })),
      { sql: insert, params: [old1.id, 1, "not a record"] },
      ...[web2, old1].map(({ id, record, sig }) => ({
        sql: "INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)",
        params: [id, record, sig],
      })),
    ]);
  });
  afterAll(() => store.close());

  async function gc<Line>(request: GcRequest): Promise<Line[]> {
    const sources: GcSources = {
      openEngine: () => ({ containers: async () => found([]) }) as unknown as Engine,
      openStore: async () => openStoreClient({ url: store.url, token: TOKEN }),
      askAgent: async () => ({ type: "asked" }),
    };
    const handler: Handler<"gc"> = (checked, call) => runNodeGc(checked, call, sources);
    const answer = await callNode("gc", request, handler, { host });
    expect(answer).toMatchObject({ code: 0 });
    return answer.lines as Line[];
  }

  const owners = async (): Promise<unknown> =>
    new Set((await client.query({ sql: "SELECT server_id FROM containers" })).rows.flat());

  test("is seen, by owner", async () => {
    const lines = await gc<GcLine>({ action: "observe" });
    const rows = lines.flatMap((line) => (line.type === "rows" ? line.rows : []));
    expect(new Set(rows.map(({ table, owner, n, what }) => [table, owner, n, what].join(" ")))).toEqual(
      new Set([
        `containers ${self} 0 `,
        `containers ${old1.id} 0 `,
        `containers ${old1.id} 1 `,
        "containers it's; nobody's 0 ",
        `servers ${old1.id}  old1`,
      ]),
    );
    expect(lines.at(-1)).toMatchObject({ type: "seen", self, tombstones: [], unlisted: 0 });
  });

  test("is deleted once, where it may be; the tombstone stays", async () => {
    const request: GcRequest = {
      action: "collect",
      removed: [{ id: old1.id, name: "old1" }],
      deleteRows: true,
      recheckOwn: false,
      recheckOthers: [],
    };
    expect(await gc<GcDone>(request)).toMatchObject([{ deleted: { containers: 2, servers: 1 }, freed: [old1.id] }]);
    expect(await gc<GcDone>(request)).toMatchObject([{ deleted: { containers: 0, servers: 0 }, problems: [] }]);
    expect(await owners()).toEqual(new Set([self, web2.id, "it's; nobody's"]));
    const { rows } = await client.query({ sql: "SELECT id, record FROM removed_servers" });
    expect(rows).toEqual([[old1.id, '{"name":"old1","subnet":null}']]);
    expect((await client.query({ sql: "SELECT id FROM servers" })).rows).toEqual([[web2.id]]);
  });
});
