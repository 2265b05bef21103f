import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startMemberWatch } from "../src/agent/mesh/member-watch.ts";
import { loadMembers } from "../src/apply/members-file.ts";
import { membersKind } from "../src/apply/kinds/members.ts";
import { runCollect } from "../src/node/gc-collect.ts";
import { parseIdentityFile } from "../src/model/identity.ts";
import type { ServerId } from "../src/model/keys.ts";
import { PATHS } from "../src/model/paths.ts";
import type { SignedServerRecord } from "../src/model/server-record.ts";
import type { MembersAction } from "../src/plan/kinds/members.ts";
import { EMPTY_MANIFEST } from "../src/plan/manifest.ts";
import type { Step } from "../src/plan/step.ts";
import { systemClock } from "../src/system/clock.ts";
import { systemFiles } from "../src/system/files.ts";
import type { Files, Host } from "../src/system/host.ts";
import { MemoryStore } from "./memory-store.ts";
import { sampleSpec } from "./sample-spec.ts";

/** What the three who change members.json on a server have to do in `apply/members-file.test.ts`. */
export interface WritersWork {
  readonly setup: readonly SignedServerRecord[];
  readonly agent: readonly SignedServerRecord[];
  readonly gc: readonly { readonly id: ServerId; readonly name: string }[];
}

export type Writer = keyof WritersWork;

/** The machine's real files, but below a folder, and everything belongs to who runs the test. */
export function filesBelow(root: string): Files {
  const [owner, group] = ["-un", "-gn"].map((what) => spawnSync("id", [what]).stdout.toString().trim());
  const real = systemFiles;
  return {
    ...real,
    read: (path) => real.read(join(root, path)),
    stat: (path) => real.stat(join(root, path)),
    list: (path) => real.list(join(root, path)),
    write: (path, content, { mode }) => real.write(join(root, path), content, { mode, owner: owner!, group: group! }),
    withLock: (path, work) => real.withLock(join(root, path), work),
  };
}

const WRITERS: { readonly [Name in Writer]: (work: WritersWork[Name], host: Host) => Promise<void> } = {
  /** one `jiji node apply` after the other, each bringing a member */
  async setup(records, host) {
    const goal = { phase: "join", spec: sampleSpec(), members: [], expected: [] } as const;
    for (const record of records) {
      const context = {
        host,
        goal: { ...goal, brought: [record] },
        before: () => undefined,
        remember: async () => undefined,
        forget: async () => undefined,
        progress: () => undefined,
      };
      const observed = await membersKind.observe(host, context.goal, EMPTY_MANIFEST);
      for (const step of membersKind.plan(context.goal, observed, EMPTY_MANIFEST, [])) {
        await membersKind.execute(step as Step<MembersAction>, context);
      }
    }
  },

  /** the store tells of a newcomer now and then */
  async agent(records, { files, clock }) {
    const identity = await files.read(PATHS.identity);
    const withKey = parseIdentityFile(identity.state === "found" ? identity.value : "")!;
    const store = new MemoryStore();
    const say = (): void => undefined;
    const log = { info: say, warn: console.error };
    const peers = { reconcile: async (): Promise<void> => undefined };
    const cluster = sampleSpec().cluster.cidr;
    const watch = startMemberWatch({ ...withKey, cluster, store, files, clock, log, peers, onChange: say });
    for (const { id, record, sig } of records) {
      store.change("INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)", [id, record, sig]);
      await Bun.sleep(3);
    }
    for (;;) {
      const file = await loadMembers(files);
      const known = file.state === "found" ? file.value.members.map(({ id }) => id) : [];
      if (records.every(({ id }) => known.includes(id))) break;
      await Bun.sleep(3);
    }
    await watch.close();
    store.close();
  },

  /** one `jiji node gc` after the other, each with a removed server */
  async gc(removed, host) {
    const store = new MemoryStore();
    const sources = { askAgent: async () => ({ type: "asked" }) as const };
    for (const each of removed) {
      const request = { action: "collect", removed: [each], deleteRows: false, recheckOwn: false, recheckOthers: [] };
      const done = await runCollect(request as never, { host, store, sources, countOwn: async () => 0 });
      if (done.problems.length > 0) throw new Error(done.problems.join());
    }
    store.close();
  },
};

if (import.meta.main) {
  const [writer, root] = process.argv.slice(2) as [Writer, string];
  const work = JSON.parse(readFileSync(join(root, "work.json"), "utf8")) as WritersWork;
  const host = { files: filesBelow(root), clock: systemClock, programs: { run: () => Promise.reject(new Error()) } };
  console.log("started");
  await WRITERS[writer](work[writer] as never, host);
}
