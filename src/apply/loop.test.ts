import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FakeHost } from "../../test/fake-host.ts";
import { FakeLinux } from "../../test/fake-linux.ts";
import { SAMPLE_PROGRAMS, sampleRecord, sampleSpec } from "../../test/sample-spec.ts";
import { JijiError } from "../model/errors.ts";
import { sha256Of } from "../model/keys.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS, stagedFile } from "../model/paths.ts";
import { Secret } from "../model/secret.ts";
import type { SignedServerRecord } from "../model/server-record.ts";
import { UNITS } from "../model/units.ts";
import type { NodeGoal } from "../plan/goal.ts";
import { EMPTY_MEMBERS } from "../model/members-file.ts";
import { verifiedMembers } from "../model/membership.ts";
import { mergeMembers } from "../plan/kinds/members.ts";
import { executableKind } from "./kinds/executable.ts";
import { fileKind } from "./kinds/file.ts";
import { folderKind } from "./kinds/folder.ts";
import { identityKind } from "./kinds/identity.ts";
import { applyGoal, planGoal } from "./loop.ts";
import { membersKind } from "./kinds/members.ts";
import { packageKind } from "./kinds/package.ts";
import { tokenKind } from "./kinds/token.ts";
import { agentUnitKind, dnsUnitKind, retiredUnitKind, storeUnitKind } from "./kinds/unit.ts";
import { userKind } from "./kinds/user.ts";
import type { Probes } from "./service-probes.ts";

const fine = async (): Promise<undefined> => undefined;
const probes: Probes = { store: fine, agent: fine, dns: fine };

/** All kinds that need no network of the machine. */
const KINDS = [
  packageKind,
  userKind,
  folderKind,
  identityKind,
  membersKind,
  tokenKind,
  retiredUnitKind,
  fileKind,
  executableKind,
  storeUnitKind(probes),
  agentUnitKind(probes),
  dnsUnitKind(probes),
];

const READS = {
  [UNITS.corrosion]: [PATHS.corrosionExecutable, PATHS.corrosionSchema, PATHS.corrosionToken],
  [UNITS.store]: [PATHS.executable, PATHS.embeddedStoreToken],
  [UNITS.agent]: [PATHS.executable, PATHS.agentSettings, PATHS.spec],
  [UNITS.dns]: [PATHS.executable, PATHS.dnsSettings],
};

function machine(): { host: FakeHost; linux: FakeLinux } {
  const host = new FakeHost();
  return { host, linux: new FakeLinux(host, READS) };
}

/** What the CLI does before an apply: the uploads wait under their hashes. */
function stage(host: FakeHost): void {
  for (const content of Object.values(SAMPLE_PROGRAMS))
    host.put(stagedFile(sha256Of(content)), content, { mode: 0o700 });
}

const PEERS = [sampleRecord("web2", 1), sampleRecord("web3", 2)];

function join(spec: NodeSpec, brought: readonly SignedServerRecord[] = []): NodeGoal {
  const members = verifiedMembers(mergeMembers(EMPTY_MEMBERS, brought, spec.cluster.cidr));
  return { phase: "join", spec, members, expected: [], brought, storeToken: new Secret("t".repeat(64)) };
}

async function apply(host: FakeHost, goal: NodeGoal): Promise<string[]> {
  if (goal.phase !== "teardown") stage(host);
  const lines: string[] = [];
  const { steps } = await applyGoal({
    host,
    kinds: KINDS,
    goal,
    onEvent: (event) => {
      if (event.type === "progress") lines.push(event.line);
    },
  });
  return [...steps.map(({ summary }) => summary), ...lines];
}

/** Runs the apply again and again, each time stopped after some changes, and at last to its end. */
async function applyWithStops(host: FakeHost, goal: NodeGoal, stops: readonly number[]): Promise<void> {
  for (const count of stops) {
    host.stopAfter(count);
    await applyUntilStopped(host, goal);
    host.runOn();
  }
  await apply(host, goal);
}

/** Once the machine has stopped, it does not matter which words the end has. */
async function applyUntilStopped(host: FakeHost, goal: NodeGoal): Promise<void> {
  try {
    await apply(host, goal);
  } catch (error) {
    if (!host.hasStopped) throw error;
  }
}

const isSecret = (path: string): boolean => [PATHS.identity, PATHS.wireguardKey, PATHS.members].includes(path as never);

/** The whole machine as text, without what is random by intention. */
function state({ host, linux }: { host: FakeHost; linux: FakeLinux }): string {
  const units = [...linux.running.keys()].sort().join(" ");
  const files = host.snapshot((path) => path.startsWith(PATHS.staging) || isSecret(path) || path === PATHS.manifest);
  return `${files.replaceAll(/[0-9a-f]{64}/g, "TOKEN")}running: ${units}\n`;
}

describe("setup of one server", () => {
  test("a dry run changes nothing; then prepare, join, and a second time nothing is left to do", async () => {
    const { host, linux } = machine();
    host.table.delete("nft");
    stage(host);
    const before = host.snapshot();
    for (const goal of [{ phase: "prepare", spec: sampleSpec() } as const, join(sampleSpec(), PEERS)]) {
      const { steps } = await planGoal(host, KINDS, goal);
      expect(steps.length).toBeGreaterThan(3);
    }
    expect(host.snapshot()).toBe(before);

    await apply(host, { phase: "prepare", spec: sampleSpec() });
    expect(linux.running.size).toBe(0);
    const goal = join(sampleSpec(), PEERS);
    await apply(host, goal);
    expect([...linux.running.keys()]).toEqual([UNITS.corrosion, UNITS.agent, UNITS.dnsSocket, UNITS.dns]);
    expect((await planGoal(host, KINDS, goal)).steps).toEqual([]);
    const changes = host.snapshot();
    expect(await apply(host, goal)).toEqual([]);
    expect(host.snapshot((path) => path.startsWith(PATHS.staging))).toBe(
      changes.replaceAll(/^\/opt\/jiji\/staging.*\n/gm, ""),
    );
  });

  test("secrets are in no plan", async () => {
    const { host } = machine();
    const goal = join(sampleSpec(), PEERS);
    await apply(host, goal);
    const token = host.text(PATHS.corrosionToken).trim();
    host.put(PATHS.corrosionConfig, `# ${token}\n`, { mode: 0o600 });
    host.put(PATHS.spec, "{}\n");
    const text = JSON.stringify(await planGoal(host, KINDS, goal));
    expect(text).toContain(PATHS.corrosionConfig);
    expect(text).not.toContain(token);
    expect(text).not.toContain(host.text(PATHS.wireguardKey).trim());
  });

  test("another member changes no running service; another MTU restarts the store alone", async () => {
    const { host, linux } = machine();
    await apply(host, join(sampleSpec(), PEERS.slice(0, 1)));
    host.log.length = 0;
    const told = await apply(host, join(sampleSpec(), PEERS));
    expect(told).toEqual([`change ${PATHS.members}`, `change ${PATHS.corrosionConfig}`]);
    expect(host.log.filter((line) => line.includes("restart"))).toEqual([]);
    expect(host.text(PATHS.corrosionConfig)).toContain("10.210.2.1:31280");
    const spec = sampleSpec((json) => (json["cluster"] = { cidr: "10.210.0.0/16", mtuBytes: 1400 }));
    await apply(host, join(spec, PEERS));
    expect(host.log.filter((line) => line.includes("restart "))).toEqual([
      `systemctl restart ${UNITS.corrosion}`,
      `systemctl restart ${UNITS.agent}`,
    ]);
    expect(linux.stale()).toEqual([]);
  });

  test("a service that does not come up stops the run with its journal, and the next run starts it again", async () => {
    const { host, linux } = machine();
    linux.broken.set(UNITS.agent, "Job failed.");
    const goal = join(sampleSpec(), PEERS);
    await expect(apply(host, goal)).rejects.toThrow(
      /jiji-agent.service does not work: Job failed.\nthe journal's last/,
    );
    expect([...linux.running.keys()]).toEqual([UNITS.corrosion]);
    linux.broken.clear();
    await apply(host, goal);
    expect(linux.running.has(UNITS.dns)).toBe(true);
    expect((await planGoal(host, KINDS, goal)).steps).toEqual([]);
  });

  test("a newer jiji is never replaced by an older one, and an upload that is not there is asked for", async () => {
    const { host } = machine();
    const goal = join(sampleSpec(), PEERS);
    await apply(host, goal);
    host.put(PATHS.executable, "jiji 0.2.0", { mode: 0o755 });
    host.table.set("jiji", () => "0.2.0\n");
    await expect(planGoal(host, KINDS, goal)).rejects.toThrow("this server has jiji 0.2.0, which is newer than 0.1.0");
    host.table.set("jiji", () => "0.1.1-rc.1\n");
    await expect(planGoal(host, KINDS, goal)).rejects.toThrow("this server has jiji 0.1.1-rc.1, which is newer");
    for (const older of ["0.1.0-rc.1", "0.0.9"]) {
      host.table.set("jiji", () => `${older}\n`);
      expect((await planGoal(host, KINDS, goal)).steps.map(({ target }) => target)).toContain(PATHS.executable);
    }
    await host.files.remove(PATHS.staging);
    await expect(applyGoal({ host, kinds: KINDS, goal, onEvent: () => undefined })).rejects.toThrow(
      "the upload for /opt/jiji/bin/jiji is not there",
    );
  });

  test("what cannot be read is not made again", async () => {
    for (const path of [PATHS.identity, PATHS.wireguardKey, PATHS.members, PATHS.corrosionToken]) {
      const { host } = machine();
      const goal = join(sampleSpec(), PEERS);
      await apply(host, goal);
      await host.files.remove(PATHS.staging);
      const before = host.snapshot();
      host.unreadable.set(path, `${path}: EIO`);
      await expect(apply(host, goal)).rejects.toThrow(`could not look at ${path}`);
      host.unreadable.clear();
      await host.files.remove(PATHS.staging);
      expect(host.snapshot()).toBe(before);
    }
  });

  test("a broken manifest stops everything", async () => {
    const { host } = machine();
    host.put(PATHS.manifest, "{");
    await expect(apply(host, join(sampleSpec()))).rejects.toThrow(`${PATHS.manifest} cannot be read`);
  });
});

const specs = [
  sampleSpec(),
  sampleSpec((json) => (json["cluster"] = { cidr: "10.210.0.0/16", mtuBytes: 1400 })),
  sampleSpec((json) => (json["store"] = { kind: "embedded", holder: 0 })),
  sampleSpec((json) => (json["store"] = { kind: "embedded", holder: 1 })),
  sampleSpec((json) => (json["engine"] = "podman")),
];

const goals = fc.record({ spec: fc.constantFrom(...specs), peers: fc.integer({ min: 0, max: 2 }) });
const stops = fc.array(fc.integer({ min: 0, max: 160 }), { maxLength: 3 });

/** What may stand on a machine before jiji comes. */
const starts = fc.record({
  missing: fc.subarray(["wg", "nft"]),
  users: fc.subarray(["jiji-dns", "jiji", "jiji-corrosion"]),
  backups: fc.subarray(["passwd", "group", "shadow"]),
  foreign: fc.subarray([PATHS.tmpfiles, `/etc/systemd/system/${UNITS.agent}`, "/etc/wireguard/other.conf"]),
  link: fc.boolean(),
});

function startingMachine(start: typeof starts extends fc.Arbitrary<infer T> ? T : never): ReturnType<typeof machine> {
  const made = machine();
  const { host, linux } = made;
  for (const program of start.missing) host.table.delete(program);
  for (const name of start.users) {
    host.put("/etc/group", `${host.text("/etc/group")}${name}:x:77:\n`);
    host.put("/etc/passwd", `${host.text("/etc/passwd")}${name}:x:77:77::/:/bin/sh\n`);
    host.put("/etc/shadow", `${host.text("/etc/shadow")}${name}:!:1::::::\n`);
  }
  for (const name of start.backups) host.put(`/etc/${name}-`, "older\n", { mode: 0o600 });
  for (const path of start.foreign) host.put(path, "# somebody else's\n", { mode: 0o600 });
  if (start.link) host.entries.set(PATHS.sysusers, { type: "link", target: "/dev/null" });
  host.put("/etc/sysusers.d/other.conf", "");
  linux.reboot();
  return made;
}

describe("laws", () => {
  test("stopping anywhere and going on reaches the same end as never stopping", async () => {
    await fc.assert(
      fc.asyncProperty(
        starts,
        fc.array(goals, { minLength: 1, maxLength: 2 }),
        stops,
        async (start, wanted, counts) => {
          const straight = startingMachine(start);
          const stopped = startingMachine(start);
          for (const { spec, peers } of wanted) {
            const goal = join(spec, PEERS.slice(0, peers));
            await apply(straight.host, goal);
            await applyWithStops(stopped.host, goal, counts);
            expect(state(stopped)).toBe(state(straight));
            expect(stopped.linux.stale()).toEqual([]);
            expect((await planGoal(stopped.host, KINDS, goal)).steps).toEqual([]);
          }
        },
      ),
      { numRuns: 20 },
    );
  }, 30_000);

  test("teardown brings back the machine as it was, wherever it was stopped, also after half a setup", async () => {
    await fc.assert(
      fc.asyncProperty(
        starts,
        goals,
        fc.option(fc.integer({ min: 0, max: 160 }), { nil: undefined }),
        stops,
        async (start, { spec, peers }, setupStop, counts) => {
          const made = startingMachine(start);
          const before = made.host.snapshot();
          const programs = [...made.host.table.keys()].sort();
          if (setupStop !== undefined) made.host.stopAfter(setupStop);
          await applyUntilStopped(made.host, join(spec, PEERS.slice(0, peers)));
          made.host.runOn();
          await applyWithStops(made.host, { phase: "teardown" }, counts);
          await made.host.files.remove(PATHS.run);
          expect(made.host.snapshot()).toBe(before);
          expect([...made.host.table.keys()].sort()).toEqual(programs);
          expect(made.linux.running.size).toBe(0);
        },
      ),
      { numRuns: 20 },
    );
  }, 30_000);

  test("whatever cannot be seen for a moment, nothing wrong is remembered of what was there before", async () => {
    await fc.assert(
      fc.asyncProperty(starts, goals, fc.nat(150), fc.nat(150), async (start, { spec, peers }, first, second) => {
        const made = startingMachine(start);
        const before = made.host.snapshot();
        for (const [goal, count] of [
          [join(spec, PEERS.slice(0, peers)), first],
          [{ phase: "teardown" }, second],
        ] as const) {
          made.host.blindAfter(count);
          await apply(made.host, goal).catch((error: unknown) => {
            if (!(error instanceof JijiError)) throw error;
          });
          made.host.runOn();
          await apply(made.host, goal);
        }
        await made.host.files.remove(PATHS.run);
        expect(made.host.snapshot()).toBe(before);
        expect(made.linux.running.size).toBe(0);
      }),
      { numRuns: 15 },
    );
  }, 30_000);

  test("a boot between a change and its restart loses nothing", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 60 }), async (count) => {
        const made = machine();
        await apply(made.host, join(specs[0] as NodeSpec, PEERS));
        made.host.stopAfter(count);
        const goal = join(specs[1] as NodeSpec, PEERS);
        await applyUntilStopped(made.host, goal);
        made.host.runOn();
        made.linux.reboot();
        await apply(made.host, goal);
        expect(made.linux.stale()).toEqual([]);
      }),
      { numRuns: 10 },
    );
  }, 30_000);
});
