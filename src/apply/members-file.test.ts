import { afterEach, beforeEach, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { FakeHost } from "../../test/fake-host.ts";
import { filesBelow, type Writer, type WritersWork } from "../../test/members-writers.ts";
import { sampleRecord } from "../../test/sample-spec.ts";
import { encodeIdentityFile } from "../model/identity.ts";
import { encodeMembersFile, type MembersFile } from "../model/members-file.ts";
import { PATHS } from "../model/paths.ts";
import { changeMembers, loadMembers } from "./members-file.ts";
import { makeWireGuardKey } from "./wireguard-key.ts";

const ROUNDS = 15;
const records = Array.from({ length: 3 * ROUNDS }, (_, n) => sampleRecord(`s${n + 1}`, n + 1));
const named = records.map(({ id }, n) => ({ id, name: `s${n + 1}`, subnet: n + 1 }));
const work: WritersWork = {
  setup: records.slice(0, ROUNDS),
  agent: records.slice(ROUNDS, 2 * ROUNDS),
  gc: named.slice(2 * ROUNDS).map(({ id, name }) => ({ id, name })),
};

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "jiji-members-"));
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  put(PATHS.identity, encodeIdentityFile("web1", 0, generateKeyPairSync("ed25519").privateKey));
  put(PATHS.wireguardKey, `${makeWireGuardKey().reveal()}\n`);
  // half of the removals are known here, the others come with gc
  put(PATHS.members, encodeMembersFile({ version: 1, members: [], removed: named.slice(2 * ROUNDS + ROUNDS / 2) }));
  put("work.json", JSON.stringify(work));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function start(writer: Writer) {
  const program = join(import.meta.dir, "../../test/members-writers.ts");
  return Bun.spawn([process.execPath, program, writer, root], { stdout: "pipe", stderr: "inherit" });
}

async function members(): Promise<MembersFile> {
  const reading = await loadMembers(filesBelow(root));
  if (reading.state !== "found") throw new Error(JSON.stringify(reading));
  return reading.value;
}

test("agent, setup and gc change members.json at the same time, and nothing of it is lost", async () => {
  const children = (["setup", "agent", "gc"] as const).map(start);
  let last = new Set<string>();
  while (children.some(({ exitCode }) => exitCode === null)) {
    const { members: known, removed } = await members();
    const now = new Set([...known.map(({ id }) => `member ${id}`), ...removed.map(({ id }) => `removed ${id}`)]);
    expect([...last].filter((each) => !now.has(each))).toEqual([]);
    last = now;
    await Bun.sleep(1);
  }
  expect(await Promise.all(children.map(({ exited }) => exited))).toEqual([0, 0, 0]);
  const file = await members();
  const brought = [...work.setup, ...work.agent].map(({ id }) => id);
  expect(file.members.map(({ id }) => id)).toEqual(expect.arrayContaining(brought));
  expect(file.members).toHaveLength(2 * ROUNDS + 1);
  expect(file.removed.map(({ id }) => id).toSorted()).toEqual(work.gc.map(({ id }) => id).toSorted());
  expect(file.removed.every(({ subnet }) => subnet === null)).toBe(true);
  expect(Object.keys(file.firstSeenMs ?? {})).toEqual(expect.arrayContaining(work.agent.map(({ id }) => id)));
}, 30_000);

test("a writer that is killed leaves a whole file and no lock", async () => {
  const child = start("gc");
  await child.stdout.getReader().read();
  child.kill("SIGKILL");
  await child.exited;
  const before = await members();
  const after = await changeMembers(filesBelow(root), (file) => ({ ...file, firstSeenMs: {} }));
  expect(after.removed).toEqual(before.removed);
  expect(await members()).toEqual(after);
});

test("what cannot be read, or must not be, is not written", async () => {
  const host = new FakeHost({ files: { [PATHS.members]: "{", [PATHS.membersLock]: "" } });
  const before = host.snapshot();
  await expect(changeMembers(host.files, (file) => file)).rejects.toThrow("members.json is malformed");
  host.put(PATHS.members, encodeMembersFile({ version: 1, members: [], removed: [] }));
  await expect(
    changeMembers(host.files, () => {
      throw new Error("refused");
    }),
  ).rejects.toThrow("refused");
  host.put(PATHS.members, "{");
  expect(host.snapshot()).toBe(before);
});
