import { describe, expect, test } from "bun:test";
import { sampleSpec } from "../../../test/sample-spec.ts";
import { JijiError } from "../../model/errors.ts";
import { ABSENT, found, unknown } from "../../model/reading.ts";
import {
  engineNetworkNotes,
  networkTarget,
  planEngineNetwork,
  type EngineNetworkObserved,
  type ObservedNetwork,
} from "./engine-network.ts";
import type { JoinGoal } from "../goal.ts";
import { EMPTY_MANIFEST, type Manifest } from "../manifest.ts";

const docker: JoinGoal = { phase: "join", spec: sampleSpec(), members: [], expected: [] };
const podman: JoinGoal = { ...docker, spec: sampleSpec((json) => (json["engine"] = "podman")) };

const web = { id: "a".repeat(64), name: "web", isRunning: true };

function network(change: Partial<ObservedNetwork> = {}): ObservedNetwork {
  return {
    driver: "bridge",
    subnets: [{ subnet: "10.210.0.0/24", gateway: "10.210.0.1" }],
    bridge: "jiji-br0",
    mtuBytes: 1420,
    isInternal: false,
    hasDns: false,
    trustsTunnel: true,
    isLabelled: true,
    attached: [],
    ...change,
  };
}

function world(change: Partial<EngineNetworkObserved> = {}): EngineNetworkObserved {
  return {
    networks: { docker: found(network()), podman: found(network()) },
    dockerKnowsTrust: found(true),
    podmanSocket: found({ enabled: true, active: true }),
    ...change,
  };
}

const withDocker = (change: Partial<ObservedNetwork>): EngineNetworkObserved =>
  world({ networks: { docker: found(network(change)), podman: ABSENT } });

const ours = (...engines: readonly ("docker" | "podman")[]): Manifest => ({
  version: 1,
  entries: engines.map((engine) => ({ kind: "engine-network", target: networkTarget(engine), before: null })),
});

const plan = (
  goal: Parameters<typeof planEngineNetwork>[0],
  observed: EngineNetworkObserved,
  manifest = EMPTY_MANIFEST,
): string[] => planEngineNetwork(goal, observed, manifest).map(({ summary }) => summary);

test("a network that is as it should be needs nothing", () => {
  expect(plan(docker, world())).toEqual([]);
  expect(plan(podman, world())).toEqual([]);
});

test("without one, it is made, and Podman's socket is enabled", () => {
  const empty = world({
    networks: { docker: ABSENT, podman: ABSENT },
    podmanSocket: found({ enabled: false, active: false }),
  });
  expect(plan(docker, empty)).toEqual(["create the docker network jiji"]);
  expect(plan(podman, empty)).toEqual(["create the podman network jiji", "enable podman.socket"]);
});

test("trusted interfaces are asked for only where Docker knows them", () => {
  const action = (knows: boolean): unknown =>
    planEngineNetwork(
      docker,
      world({ networks: { docker: ABSENT, podman: ABSENT }, dockerKnowsTrust: found(knows) }),
      EMPTY_MANIFEST,
    )[0]?.action;
  expect(action(true)).toMatchObject({ network: { trustsTunnel: true } });
  expect(action(false)).toMatchObject({ network: { trustsTunnel: false } });
});

describe("somebody else's network", () => {
  test("is a conflict, used or not", () => {
    expect(() => plan(docker, withDocker({ isLabelled: false }))).toThrow(JijiError);
    expect(() => plan(docker, withDocker({ isLabelled: false, attached: [web] }))).toThrow(JijiError);
  });

  test("unless the manifest says that it is ours", () => {
    expect(plan(docker, withDocker({ isLabelled: false }), ours("docker"))).toEqual([]);
  });
});

describe("our network with other settings", () => {
  const other = { mtuBytes: 1380 };

  test("is made anew while nothing uses it", () => {
    expect(plan(docker, withDocker(other))).toEqual([
      "remove the docker network jiji, which nothing uses",
      "create the docker network jiji",
    ]);
  });

  test("is never removed under containers", () => {
    expect(() => plan(docker, withDocker({ ...other, attached: [web] }))).toThrow(/MTU 1380 instead of 1420.*web/);
  });

  test("Podman's own DNS server on the gateway is a difference", () => {
    const seen = world({ networks: { docker: ABSENT, podman: found(network({ hasDns: true, attached: [web] })) } });
    expect(() => plan(podman, seen)).toThrow(/port 53/);
  });

  test("a missing trusted interface is told while containers run, and mended when they are gone", () => {
    const inUse = withDocker({ trustsTunnel: false, attached: [web] });
    expect(plan(docker, inUse)).toEqual([]);
    expect(engineNetworkNotes(docker, inUse)).toHaveLength(1);
    expect(plan(docker, withDocker({ trustsTunnel: false }))).toHaveLength(2);
    expect(engineNetworkNotes(docker, withDocker({}))).toEqual([]);
  });
});

test("a change of the engine takes the other's network away, if nothing uses it", () => {
  const both = (attached: readonly (typeof web)[]): EngineNetworkObserved =>
    world({ networks: { docker: ABSENT, podman: found(network({ attached })) } });
  expect(plan(docker, both([]), ours("podman"))).toEqual([
    "remove the podman network jiji",
    "create the docker network jiji",
  ]);
  expect(() => plan(docker, both([web]), ours("podman"))).toThrow(JijiError);
});

test("teardown removes what the manifest names, and says whose network goes", () => {
  expect(plan({ phase: "teardown" }, world())).toEqual([]);
  const steps = planEngineNetwork({ phase: "teardown" }, withDocker({ attached: [web] }), ours("docker"));
  expect(steps.map(({ summary, details }) => [summary, details])).toEqual([
    ["remove the docker network jiji, which web will be without", ["web loses its network and keeps running"]],
  ]);
});

test("an engine that does not answer stops everything", () => {
  const silent = world({ networks: { docker: unknown("no answer"), podman: ABSENT } });
  expect(() => plan(docker, silent)).toThrow(JijiError);
  expect(() => plan({ phase: "teardown" }, silent, ours("docker"))).toThrow(JijiError);
});
