import type { Ipv4 } from "../../model/address.ts";
import { serverAddress, subnetOf, type Cidr } from "../../model/cluster.ts";
import { JijiError } from "../../model/errors.ts";
import type { EngineKind, NodeSpec } from "../../model/node-spec.ts";
import { BRIDGE, ENGINE_NETWORK, INTERFACE } from "../../model/ports.ts";
import { known, type Reading } from "../../model/reading.ts";
import type { JoinGoal, NodeGoal } from "../goal.ts";
import { manifestEntry, type Manifest } from "../manifest.ts";
import { stepsOf, type Step } from "../step.ts";
import type { UnitState } from "./unit.ts";

export const ENGINE_NETWORK_KIND = "engine-network";

/** Podman's API socket, which the agent reads containers from; Podman installs it switched off. */
export const PODMAN_SOCKET = "podman.socket";

/** The label by which a network of ours is known even if the manifest is lost. */
export const NETWORK_LABEL = "io.jiji.network";

/** The containers' network as it should be. */
export interface DesiredNetwork {
  readonly engine: EngineKind;
  readonly subnet: Cidr;
  readonly gateway: Ipv4;
  readonly mtuBytes: number;
  /** Docker 28.2 and later drop what comes from the tunnel unless the network names it as trusted */
  readonly trustsTunnel: boolean;
}

/** A container that is attached to the network, running or not. */
export interface AttachedContainer {
  readonly id: string;
  readonly name: string;
  readonly isRunning: boolean;
}

export interface ObservedNetwork {
  readonly driver: string;
  readonly subnets: readonly { readonly subnet: string; readonly gateway: string | null }[];
  /** the bridge's name, null when the engine chose it itself */
  readonly bridge: string | null;
  readonly mtuBytes: number | null;
  readonly isInternal: boolean;
  /** Podman: whether its own DNS server runs on the gateway */
  readonly hasDns: boolean;
  readonly trustsTunnel: boolean;
  readonly isLabelled: boolean;
  readonly attached: readonly AttachedContainer[];
}

export interface EngineNetworkObserved {
  /** an engine that is not installed has none */
  readonly networks: Readonly<Record<EngineKind, Reading<ObservedNetwork>>>;
  /** whether Docker knows trusted interfaces */
  readonly dockerKnowsTrust: Reading<boolean>;
  readonly podmanSocket: Reading<UnitState>;
}

export type EngineNetworkAction =
  | { readonly op: "create"; readonly network: DesiredNetwork }
  /** disconnects what is attached, then removes the network */
  | { readonly op: "remove"; readonly engine: EngineKind }
  | { readonly op: "enable-socket"; readonly before: UnitState | null }
  | { readonly op: "restore-socket" };

type NetworkStep = Step<EngineNetworkAction>;

const step = stepsOf<EngineNetworkAction>(ENGINE_NETWORK_KIND);

/** The manifest's target for the network in one engine. */
export function networkTarget(engine: EngineKind): string {
  return `${engine} network ${ENGINE_NETWORK}`;
}

/**
 * The network "jiji" of the configured engine, and Podman's API socket. A network that is not jiji's, or that differs
 * while containers are attached to it, is a conflict: it is never removed under them. Teardown disconnects them; they
 * keep running.
 */
export function planEngineNetwork(
  goal: NodeGoal,
  observed: EngineNetworkObserved,
  manifest: Manifest,
): readonly NetworkStep[] {
  if (goal.phase === "prepare") return [];
  return goal.phase === "teardown" ? planTeardown(observed, manifest) : planJoin(goal, observed, manifest);
}

/** The network that a spec asks for. */
export function desiredNetwork(spec: NodeSpec, dockerKnowsTrust: boolean): DesiredNetwork {
  return {
    engine: spec.engine,
    subnet: subnetOf(spec.cluster.cidr, spec.subnet),
    gateway: serverAddress(spec.cluster.cidr, spec.subnet),
    mtuBytes: spec.cluster.mtuBytes,
    trustsTunnel: spec.engine === "docker" && dockerKnowsTrust,
  };
}

/** How a network differs from the desired one, for people, e.g. `subnet 10.0.0.0/24 instead of 10.210.0.0/24`. */
export function networkDifferences(observed: ObservedNetwork, desired: DesiredNetwork): readonly string[] {
  const [first, ...others] = observed.subnets;
  const differences: string[] = [];
  const compare = (what: string, is: string | number | null, should: string | number): void => {
    if (is !== should) differences.push(`${what} ${is ?? "not set"} instead of ${should}`);
  };
  compare("driver", observed.driver, "bridge");
  compare("subnet", first?.subnet ?? null, desired.subnet);
  compare("gateway", first?.gateway ?? null, desired.gateway);
  compare("bridge", observed.bridge, BRIDGE);
  compare("MTU", observed.mtuBytes, desired.mtuBytes);
  if (others.length > 0) differences.push(`further subnets ${others.map(({ subnet }) => subnet).join(", ")}`);
  if (observed.isInternal) differences.push("it is internal");
  if (observed.hasDns) differences.push("its own DNS server would take port 53 of the gateway");
  if (desired.trustsTunnel && !observed.trustsTunnel) differences.push(trustMissing);
  return differences;
}

const trustMissing = `${INTERFACE} is not among its trusted host interfaces`;

function planJoin(goal: JoinGoal, observed: EngineNetworkObserved, manifest: Manifest): readonly NetworkStep[] {
  const { spec } = goal;
  const knowsTrust = spec.engine === "docker" && known(observed.dockerKnowsTrust, "Docker's version") === true;
  const steps = [
    ...planOther(spec.engine, observed, manifest),
    ...planNetwork(desiredNetwork(spec, knowsTrust), observed, manifest),
  ];
  if (spec.engine !== "podman") return steps;
  const socket = known(observed.podmanSocket, PODMAN_SOCKET);
  if (socket?.enabled === true && socket.active) return steps;
  return [
    ...steps,
    step("enable", PODMAN_SOCKET, `enable ${PODMAN_SOCKET}`, { op: "enable-socket", before: socket ?? null }),
  ];
}

/** A network that an earlier setup made in the other engine holds the same addresses. */
function planOther(engine: EngineKind, observed: EngineNetworkObserved, manifest: Manifest): readonly NetworkStep[] {
  const other: EngineKind = engine === "docker" ? "podman" : "docker";
  const target = networkTarget(other);
  if (manifestEntry(manifest, ENGINE_NETWORK_KIND, target) === undefined) return [];
  const network = known(observed.networks[other], target);
  if (network !== undefined && network.attached.length > 0) {
    throw conflict(`the ${target} still has ${attachedNames(network)}`, `remove them, or keep engine: ${other}`);
  }
  return [step("remove", target, `remove the ${target}`, { op: "remove", engine: other })];
}

function planNetwork(
  desired: DesiredNetwork,
  observed: EngineNetworkObserved,
  manifest: Manifest,
): readonly NetworkStep[] {
  const { engine } = desired;
  const target = networkTarget(engine);
  const network = known(observed.networks[engine], `the ${target}`);
  const details = [`${desired.subnet}, gateway ${desired.gateway}, MTU ${desired.mtuBytes}`];
  const create = step("create", target, `create the ${target}`, { op: "create", network: desired }, { details });
  if (network === undefined) return [create];
  const isOurs = network.isLabelled || manifestEntry(manifest, ENGINE_NETWORK_KIND, target) !== undefined;
  if (!isOurs) {
    throw conflict(`there is a ${target} that jiji did not make`, `${engine} network rm ${ENGINE_NETWORK}`);
  }
  const differences = networkDifferences(network, desired);
  if (differences.length === 0 || needsOnlyTrust(network, desired)) return [];
  if (network.attached.length > 0) {
    throw conflict(
      `the ${target} has ${differences.join("; ")}, and ${attachedNames(network)} attached`,
      "remove these containers, run the command again, then start them anew",
    );
  }
  const summary = `remove the ${target}, which nothing uses`;
  return [step("remove", target, summary, { op: "remove", engine }, { details: differences }), create];
}

/** Docker was upgraded while the network was in use: peers cannot reach its containers until the network is made anew. */
function needsOnlyTrust(network: ObservedNetwork, desired: DesiredNetwork): boolean {
  const differences = networkDifferences(network, desired);
  return network.attached.length > 0 && differences.length === 1 && differences[0] === trustMissing;
}

function attachedNames({ attached }: ObservedNetwork): string {
  return attached.map(({ name }) => name).join(", ");
}

/** Names the containers in the summary itself: whoever agrees must have seen them, also without asking for details. */
function losingNames(attached: ObservedNetwork["attached"]): string {
  const names = attached.slice(0, 5).map(({ name }) => name);
  const more = attached.length - names.length;
  if (more > 0) names.push(`${more} more`);
  return names.length === 0 ? "" : `, which ${names.join(", ")} will be without`;
}

function conflict(message: string, hint: string): JijiError {
  return new JijiError("conflict", message, { hint });
}

function planTeardown(observed: EngineNetworkObserved, manifest: Manifest): readonly NetworkStep[] {
  const steps: NetworkStep[] = [];
  for (const engine of ["docker", "podman"] as const) {
    const target = networkTarget(engine);
    if (manifestEntry(manifest, ENGINE_NETWORK_KIND, target) === undefined) continue;
    const network = known(observed.networks[engine], `the ${target}`);
    const details = (network?.attached ?? []).map(
      ({ name, isRunning }) => `${name} loses its network${isRunning ? " and keeps running" : ""}`,
    );
    const losing = losingNames(network?.attached ?? []);
    steps.push(step("remove", target, `remove the ${target}${losing}`, { op: "remove", engine }, { details }));
  }
  if (manifestEntry(manifest, ENGINE_NETWORK_KIND, PODMAN_SOCKET) !== undefined) {
    const summary = `put ${PODMAN_SOCKET} back as it was before jiji`;
    steps.push(step("restore", PODMAN_SOCKET, summary, { op: "restore-socket" }));
  }
  return steps;
}

/** What no step will change. */
export function engineNetworkNotes(goal: NodeGoal, observed: EngineNetworkObserved): readonly string[] {
  if (goal.phase !== "join" || goal.spec.engine !== "docker") return [];
  const network = observed.networks.docker;
  if (network.state !== "found" || observed.dockerKnowsTrust.state !== "found") return [];
  if (!needsOnlyTrust(network.value, desiredNetwork(goal.spec, observed.dockerKnowsTrust.value))) return [];
  return [
    `Docker was upgraded, and keeps the tunnel out of its network ${ENGINE_NETWORK} until that is made anew: ` +
      `remove ${attachedNames(network.value)}, run setup again, then start them anew`,
  ];
}
