import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeHost } from "../../../test/fake-host.ts";
import { MemoryStore } from "../../../test/memory-store.ts";
import { makeMember } from "../../../test/mesh-makers.ts";
import { parseClusterCidr } from "../../model/cluster.ts";
import { encodeMembersFile, parseMembersFile } from "../../model/members-file.ts";
import type { MembersFile } from "../../model/members-file.ts";
import { PATHS } from "../../model/paths.ts";
import { systemClock } from "../../system/clock.ts";
import { startMemberWatch, type MemberWatch } from "./member-watch.ts";

const [self, newcomer, old1, old2] = [
  makeMember("self", 0),
  makeMember("newer", 2),
  makeMember("old1", 2),
  makeMember("old2", 3),
];

let store: MemoryStore;
let host: FakeHost;
let watch: MemberWatch | undefined;
let lines: string[] = [];
let looks = 0;

beforeEach(() => {
  lines = [];
  looks = 0;
  store = new MemoryStore();
  const removed = [old1, old2].map(({ identity }) => ({
    id: identity.id,
    name: identity.name,
    subnet: identity.subnet,
  }));
  host = new FakeHost({
    files: { [PATHS.members]: encodeMembersFile({ version: 1, members: [self.signed], removed }) },
  });
});

afterEach(async () => {
  await watch?.close();
  store.close();
});

function start(): void {
  const say = (): void => undefined;
  watch = startMemberWatch({
    identity: self.identity,
    privateKey: self.privateKey,
    cluster: parseClusterCidr("10.210.0.0/16")!,
    store,
    files: host.files,
    clock: systemClock,
    log: { info: say, warn: (line) => void lines.push(line) },
    peers: { reconcile: async () => void looks++ },
    onChange: say,
    lookMs: 20,
  });
}

function members(): MembersFile {
  const entry = host.entries.get(PATHS.members);
  return parseMembersFile(entry?.type === "file" ? entry.content.toString("utf8") : "")!;
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await Bun.sleep(5);
}

const numbers = (): (number | null)[] =>
  [old1, old2].map(({ identity }) => members().removed.find(({ id }) => id === identity.id)?.subnet ?? null);

test("a number that gc has freed while this server slept is free here, too, and a newcomer with it is believed", async () => {
  const insert = "INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)";
  store.change(insert, [newcomer.signed.id, newcomer.signed.record, newcomer.signed.sig]);
  const tombstone = "INSERT INTO removed_servers (id, record) VALUES (?, ?)";
  store.change(tombstone, [old2.identity.id, '{"name":"old2","subnet":3}']);
  store.change(tombstone, ["somebody else", '{"subnet":null}']);
  start();
  await until(() => store.rows("SELECT count(*) FROM servers")[0]?.[0] === 2);
  expect(members().members.map(({ id }) => id)).toEqual([self.identity.id]);
  expect(numbers()).toEqual([2, 3]);
  store.change(tombstone, [old1.identity.id, '{"name":"old1","subnet":null}']);
  await until(() => members().members.length === 2);
  expect(numbers()).toEqual([null, 3]);
  expect(members().removed).toHaveLength(2);
});

test("rows that are forged without end cost a look now and then, few lines of the log, and no row of its own", async () => {
  start();
  await until(() => store.rows("SELECT count(*) FROM servers")[0]?.[0] === 1);
  const endMs = performance.now() + 1_000;
  for (let round = 0; performance.now() < endMs; round++) {
    store.change("DELETE FROM servers WHERE record = 'forged'");
    store.change(
      "INSERT INTO servers (id, record, sig) WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 30) " +
        "SELECT printf('%032x', ? + n), 'forged', 'x' FROM i",
      [round * 100],
    );
    await Bun.sleep(5);
  }
  expect(looks).toBeLessThan(15);
  expect(lines.length).toBeLessThan(25);
  expect(store.writes).toHaveLength(1);
});

test("a flood of rows costs neither memory nor the log, and keeps a newcomer out only while it lasts", async () => {
  const forge =
    "INSERT INTO servers (id, record, sig) WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 5000) " +
    "SELECT printf('%032x', n), 'forged', 'x' FROM i";
  store.change(forge);
  store.change("INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)", [
    newcomer.signed.id,
    newcomer.signed.record,
    newcomer.signed.sig,
  ]);
  store.change("DELETE FROM removed_servers");
  host.put(PATHS.members, encodeMembersFile({ version: 1, members: [self.signed], removed: [] }));
  start();
  await until(() => store.rows("SELECT count(*) FROM servers")[0]?.[0] === 5002);
  await until(() => lines.some((line) => line.includes("more than 2048 rows")));
  expect(members().members).toHaveLength(1);
  expect(lines.length).toBeLessThan(30);
  expect(lines.filter((line) => line.includes("more of the store's rows are not believed"))).toHaveLength(1);
  store.change("DELETE FROM servers WHERE record = 'forged'");
  await until(() => members().members.length === 2);
});
