import type { Ipv4 } from "../../model/address.ts";
import { isContainerAddress, type ClusterCidr, type SubnetNumber } from "../../model/cluster.ts";
import type { ContainerRecord, ContainerState } from "../../model/container-record.ts";
import { instanceLabel, normalizeToLabel, serviceLabel, type DnsLabel } from "../../model/names.ts";
import { parseCheck, type CheckSpec } from "./check-spec.ts";
import type { EngineContainer } from "../../engine/engine.ts";

/** A record but for its place in the owner's own order of changes. */
export type PublishedContainer = Omit<ContainerRecord, "rev">;

/** What does not depend on the container but on the server. */
export interface PublishContext {
  readonly network: string;
  readonly cluster: ClusterCidr;
  readonly subnet: SubnetNumber;
}

export interface Publication {
  /** undefined: the container has no row */
  readonly published: PublishedContainer | undefined;
  /** the check that its labels ask for; undefined also when the engine has a HEALTHCHECK of its own, which then counts */
  readonly check: CheckSpec | undefined;
  /** facts for the log, each a full sentence fragment about the container; texts of others in them are not escaped yet */
  readonly problems: readonly string[];
}

/** More ports than this are not published: a row has to fit a datagram. */
const MAX_PORTS = 32;

/** Six bytes a character at worst, as JSON escapes them: 2 kB for both facts are never reached. */
const MAX_META_CHARS = 150;

const COMPOSE = "com.docker.compose.";

/**
 * Labels that Compose gives to a container and never to an image that it builds. Its project and service labels stand in
 * such an image too, so that they alone would not tell a container that Compose made from one that merely runs the image.
 */
const MADE_BY_COMPOSE = [
  `${COMPOSE}config-hash`,
  `${COMPOSE}container-number`,
  `${COMPOSE}project.working_dir`,
  "io.podman.compose.config-hash",
] as const;

/**
 * What a container publishes: its names by labels that were given to it, its address, state and ports. Pure. A container
 * without a project and a service, or with one that cannot be a DNS label, is not published.
 */
export function publicationOf(container: EngineContainer, context: PublishContext): Publication {
  const problems: string[] = [];
  const given = givenLabels(container, problems);
  const names = namesOf(given, problems);
  if (names === undefined) return { published: undefined, check: undefined, problems };
  const address = addressOf(container, context, problems);
  if (container.ports.length > MAX_PORTS) {
    problems.push(`exposes ${container.ports.length} ports: the first ${MAX_PORTS} are published`);
  }
  return {
    published: {
      containerId: container.id,
      ...names,
      address,
      state: stateOf(container),
      ports: container.ports.slice(0, MAX_PORTS),
      meta: metaOf(container),
    },
    check: container.health === "none" ? parseCheck(given, problems) : undefined,
    problems,
  };
}

/** The labels that count: an image must not be able to publish itself, so those that stand in it too are left out. */
function givenLabels(container: EngineContainer, problems: string[]): ReadonlyMap<string, string> {
  const relevant = Object.entries(container.labels).filter(
    ([key]) => key.startsWith("jiji.") || key.startsWith(COMPOSE) || key.startsWith("io.podman.compose."),
  );
  if (container.imageLabels.state !== "found") {
    if (relevant.length > 0) {
      problems.push(
        "its image is gone from the engine, so it cannot be told whether the labels were given to the container",
      );
    }
    return new Map();
  }
  const image = container.imageLabels.value;
  const isGiven = ([key, value]: [string, string]): boolean => !Object.hasOwn(image, key) || image[key] !== value;
  const given = new Map(relevant.filter(isGiven));
  if (MADE_BY_COMPOSE.some((key) => given.has(key))) {
    for (const key of [`${COMPOSE}project`, `${COMPOSE}service`]) {
      const value = container.labels[key];
      if (value !== undefined) given.set(key, value);
    }
  }
  for (const [key] of relevant) {
    if (key.startsWith("jiji.") && !given.has(key)) problems.push(`label ${key} stands in the image itself: ignored`);
  }
  return given;
}

interface Names {
  readonly project: DnsLabel;
  readonly service: DnsLabel;
  readonly instance: DnsLabel | null;
}

function namesOf(given: ReadonlyMap<string, string>, problems: string[]): Names | undefined {
  const projectText = given.get("jiji.project") ?? given.get(`${COMPOSE}project`);
  const serviceText = given.get("jiji.service") ?? given.get(`${COMPOSE}service`);
  const instanceText = given.get("jiji.instance") ?? given.get(`${COMPOSE}container-number`);
  if (projectText === undefined || serviceText === undefined) {
    const missing = projectText === undefined ? "project" : "service";
    problems.push(`has no name: it was given neither label jiji.${missing} nor Compose's`);
    return undefined;
  }
  const project = normalizeToLabel(projectText);
  const service = normalizeToLabel(serviceText);
  if (project === undefined) problems.push(`project ${JSON.stringify(projectText)} is no DNS label: not published`);
  if (service === undefined) problems.push(`service ${JSON.stringify(serviceText)} is no DNS label: not published`);
  if (project === undefined || service === undefined) return undefined;
  if (serviceLabel(project, service) === undefined) {
    problems.push(`${project}-${service} is longer than a DNS label: not published`);
    return undefined;
  }
  if (instanceText === undefined) return { project, service, instance: null };
  const instance = normalizeToLabel(instanceText);
  if (instance === undefined) {
    problems.push(`instance ${JSON.stringify(instanceText)} is no DNS label: only the service's name is published`);
  } else if (instanceLabel(project, service, instance) === undefined) {
    problems.push(`${project}-${service}-${instance} is longer than a DNS label: only the service's name is published`);
    return { project, service, instance: null };
  }
  return { project, service, instance: instance ?? null };
}

function addressOf(container: EngineContainer, context: PublishContext, problems: string[]): Ipv4 | null {
  const address = container.networks[context.network] ?? null;
  if (address === null || isContainerAddress(context.cluster, context.subnet, address)) return address;
  problems.push(`address ${address} is not one of this server's containers: not published`);
  return null;
}

function stateOf(container: EngineContainer): ContainerState {
  if (container.state === "stopping") return "draining";
  if (container.state !== "running") return "stopped";
  return container.health === "none" ? "healthy" : container.health;
}

function metaOf(container: EngineContainer): Readonly<Record<string, string>> {
  return {
    name: container.name.slice(0, MAX_META_CHARS).toWellFormed(),
    image: container.imageName.slice(0, MAX_META_CHARS).toWellFormed(),
  };
}
