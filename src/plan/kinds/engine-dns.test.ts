import { describe, expect, test } from "bun:test";
import { sampleSpec } from "../../../test/sample-spec.ts";
import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import { ABSENT, found, unknown } from "../../model/reading.ts";
import {
  engineDnsFile,
  engineDnsNotes,
  INTERRUPTED_RESTART,
  planEngineDns,
  withdrawn,
  type DockerDaemon,
  type EngineDnsObserved,
} from "./engine-dns.ts";
import type { JoinGoal } from "../goal.ts";
import type { SeenFile } from "../managed-file.ts";
import { EMPTY_MANIFEST, type Manifest } from "../manifest.ts";

const docker: JoinGoal = { phase: "join", spec: sampleSpec(), members: [], expected: [] };
const podman: JoinGoal = { ...docker, spec: sampleSpec((json) => (json["engine"] = "podman")) };
const TEARDOWN = { phase: "teardown" } as const;

const NO_FILE: SeenFile = { stat: ABSENT, content: ABSENT };

function file(content: string, mode = 0o644): SeenFile {
  const stat = { type: "file", mode, owner: "root", group: "root", sizeBytes: content.length } as const;
  return { stat: found(stat), content: found(content) };
}

const idle: DockerDaemon = { invocation: "1".repeat(32), runningContainers: 0, hasLiveRestore: false, isSwarm: false };
const busy: DockerDaemon = { ...idle, runningContainers: 3 };

function world(change: Partial<EngineDnsObserved> = {}): EngineDnsObserved {
  return {
    files: { docker: NO_FILE, podman: NO_FILE },
    hostSearches: found(["example.com"]),
    daemon: found(idle),
    staleInvocation: ABSENT,
    ...change,
  };
}

const OURS = '{\n  "dns": [\n    "10.210.0.1"\n  ],\n  "dns-search": [\n    "jiji",\n    "example.com"\n  ]\n}\n';

const settled = (change: Partial<EngineDnsObserved> = {}): EngineDnsObserved =>
  world({ files: { docker: file(OURS), podman: NO_FILE }, ...change });

const stale = (daemon: DockerDaemon): EngineDnsObserved =>
  settled({ daemon: found(daemon), staleInvocation: found(daemon.invocation) });

const plan = (
  goal: Parameters<typeof planEngineDns>[0],
  observed: EngineDnsObserved,
  manifest = EMPTY_MANIFEST,
): string[] => planEngineDns(goal, observed, manifest).map(({ action }) => action.op);

const manifestOf = (content: string | null): Manifest => ({
  version: 1,
  entries: [
    {
      kind: "engine-dns",
      target: PATHS.dockerDaemon,
      before: {
        file: content === null ? null : { content, mode: 0o644, owner: "root", group: "root" },
        madeFolders: [],
        address: "10.210.0.1",
      },
    },
  ],
});

describe("the settings", () => {
  test("are jiji-dns alone, and jiji before the host's own search list", () => {
    expect(engineDnsFile(docker, world()).content).toBe(OURS);
  });

  test("keep the search list that stands there already", () => {
    const seen = world({
      files: { docker: file('{"dns":["1.1.1.1"],"dns-search":["corp.example"]}\n'), podman: NO_FILE },
    });
    expect(JSON.parse(engineDnsFile(docker, seen).content ?? "")).toEqual({
      dns: ["10.210.0.1"],
      "dns-search": ["jiji", "corp.example"],
    });
  });

  test("keep the file's mode and owner", () => {
    const seen = world({ files: { docker: file("{}", 0o600), podman: NO_FILE } });
    expect(engineDnsFile(docker, seen)).toMatchObject({ mode: 0o600, owner: "root" });
  });

  test("are not written into what the engine could not read", () => {
    expect(() => plan(docker, world({ files: { docker: file("{"), podman: NO_FILE } }))).toThrow(JijiError);
  });

  test("do not change when the host's search list does", () => {
    expect(plan(docker, settled({ hostSearches: found(["other.example"]) }))).toEqual([]);
  });
});

describe("Docker", () => {
  test("is restarted on its own when nothing runs in it", () => {
    expect(plan(docker, world())).toEqual(["write-file", "restart-docker"]);
    expect(plan(docker, world({ daemon: found({ ...busy, hasLiveRestore: true }) }))).toEqual([
      "write-file",
      "restart-docker",
    ]);
  });

  test("waits for the operator while containers run", () => {
    const seen = world({ daemon: found(busy) });
    expect(plan(docker, seen)).toEqual(["write-file"]);
    expect(plan({ ...docker, restartEngine: true }, seen)).toEqual(["write-file", "restart-docker"]);
  });

  test("is remembered to wait, and restarted when it may", () => {
    expect(plan(docker, stale(busy))).toEqual([]);
    expect(engineDnsNotes(docker, stale(busy), EMPTY_MANIFEST)).toHaveLength(1);
    expect(plan(docker, stale(idle))).toEqual(["restart-docker"]);
  });

  test("a restart by anybody else settles it", () => {
    const seen = settled({ daemon: found(busy), staleInvocation: found("2".repeat(32)) });
    expect(plan(docker, seen)).toEqual([]);
    expect(engineDnsNotes(docker, seen, EMPTY_MANIFEST)).toEqual([]);
  });

  test("is not restarted when it does not run", () => {
    expect(plan(docker, world({ daemon: ABSENT }))).toEqual(["write-file"]);
  });

  test("cannot be seen: nothing is done", () => {
    expect(() => plan(docker, world({ daemon: unknown("no answer") }))).toThrow(JijiError);
  });

  test("gets its file back after a restart that was interrupted", () => {
    const before = { file: null, madeFolders: [] };
    const manifest: Manifest = { version: 1, entries: [{ kind: "engine-dns", target: INTERRUPTED_RESTART, before }] };
    expect(plan(docker, settled(), manifest)).toEqual(["finish-restart"]);
  });
});

test("Podman reads its file for each container, so nothing is restarted", () => {
  expect(plan(podman, world({ daemon: ABSENT }))).toEqual(["write-file"]);
});

test("a change of the engine takes the other's settings back", () => {
  expect(plan(podman, settled(), manifestOf(null))).toEqual(["restore-file", "write-file", "restart-docker"]);
});

describe("teardown", () => {
  test("puts back the bytes from before when nobody else has changed them", () => {
    for (const before of [null, "{}", '{"debug":true,"dns":["1.1.1.1"]}']) {
      const manifest = manifestOf(before);
      const then = world({ files: { docker: before === null ? NO_FILE : file(before), podman: NO_FILE } });
      const seen = world({ files: { docker: file(engineDnsFile(docker, then).content ?? ""), podman: NO_FILE } });
      expect(plan(TEARDOWN, seen, manifest)).toEqual(["restore-file", "restart-docker"]);
    }
  });

  test("takes out only the settings when others have changed the file since", () => {
    const changed = JSON.stringify({ ...(JSON.parse(OURS) as object), mtu: 1400 });
    const seen = settled({ files: { docker: file(changed), podman: NO_FILE } });
    expect(plan(TEARDOWN, seen, manifestOf(null))).toEqual(["withdraw", "restart-docker"]);
    const [entry] = manifestOf('{"dns":["1.1.1.1"]}').entries;
    if (entry === undefined) throw new Error("no entry");
    expect(withdrawn("docker", entry, changed)).toBe('{"dns":["1.1.1.1"],"mtu":1400}');
    expect(withdrawn("docker", entry, '{"dns":["9.9.9.9"],"dns-search":["a.example"]}')).toBe(
      '{"dns":["9.9.9.9"],"dns-search":["a.example"]}',
    );
  });

  test("restarts Docker also under running containers, which it keeps; not in a swarm", () => {
    const seen = (daemon: DockerDaemon): EngineDnsObserved => settled({ daemon: found(daemon) });
    expect(plan(TEARDOWN, seen(busy), manifestOf(null))).toEqual(["restore-file", "restart-docker"]);
    expect(plan(TEARDOWN, seen({ ...busy, isSwarm: true }), manifestOf(null))).toEqual(["restore-file"]);
  });

  test("does nothing that the manifest does not name", () => expect(plan(TEARDOWN, settled())).toEqual([]));
});

test("resolvers that are no longer asked are named", () => {
  const notes = engineDnsNotes(docker, settled(), manifestOf('{"dns":["1.1.1.1"]}'));
  expect(notes.join()).toContain("1.1.1.1");
});
