import { z } from "zod";
import { parseIpv4, type Ipv4 } from "../model/address.ts";
import { parseCidr } from "../model/cluster.ts";
import type { EngineContainer, EngineEvent, EngineHealth, EngineNetwork, EngineState, ExposedPort } from "./engine.ts";

/**
 * The part of Docker's HTTP API (Docker 20.10 to 29, Podman's compatible API 4.3 to 5) that jiji reads, as schemas. They
 * ask for no more than is used, and take null where one of the engines says null for empty.
 */
const labels = z
  .record(
    z.string(),
    z
      .string()
      .nullish()
      .transform((text) => text ?? ""),
  )
  .nullish()
  .transform((value) => value ?? {});

const endpoint = z.object({ IPAddress: z.string().nullish() }).nullish();
const networkMap = z
  .record(z.string(), endpoint)
  .nullish()
  .transform((value) => value ?? {});
const portMap = z
  .record(z.string(), z.unknown())
  .nullish()
  .transform((value) => value ?? {});

/** One entry of `GET /containers/json`. */
export const listedContainerSchema = z.object({
  Id: z.string().regex(/^[0-9a-f]{64}$/),
  Names: z.array(z.string()).nullish(),
  NetworkSettings: z.object({ Networks: networkMap }).nullish(),
});

/** What of `GET /containers/{id}/json` tells in which network namespace a container is: `host`, `bridge`, `container:ID`, … */
export const networkModeSchema = z.object({ HostConfig: z.object({ NetworkMode: z.string() }) });

const inspectSchema = z.object({
  Id: z.string().regex(/^[0-9a-f]{64}$/),
  Name: z.string(),
  Image: z.string(),
  State: z.object({
    Status: z.string(),
    StartedAt: z.string().nullish(),
    Health: z.object({ Status: z.string().nullish() }).nullish(),
  }),
  Config: z.object({
    Image: z.string().nullish(),
    Labels: labels,
    ExposedPorts: portMap,
    StopSignal: z.union([z.string(), z.number()]).nullish(),
  }),
  NetworkSettings: z.object({ Networks: networkMap, Ports: portMap }),
});

/** `GET /images/{id}/json`: the labels of the image's own configuration. */
export const imageSchema = z.object({
  Config: z.object({ Labels: labels }).nullish(),
});

export const versionSchema = z.object({ Version: z.string() });

const networksSchema = z.array(
  z.object({
    Name: z.string(),
    Driver: z.string().nullish(),
    IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string().nullish() })).nullish() }).nullish(),
  }),
);

const eventSchema = z.object({
  Type: z.string(),
  Action: z.string(),
  Actor: z
    .object({
      ID: z.string().nullish(),
      Attributes: z
        .object({ container: z.string().nullish(), signal: z.union([z.string(), z.number()]).nullish() })
        .nullish(),
    })
    .nullish(),
});

/** Everything of `GET /containers/{id}/json` but the image's labels, which are another request. */
export type InspectedContainer = Omit<EngineContainer, "imageLabels">;

/** Reads an inspect answer; undefined when it has not the expected shape. */
export function parseInspect(json: unknown): InspectedContainer | undefined {
  const parsed = inspectSchema.safeParse(json);
  if (!parsed.success) return undefined;
  const value = parsed.data;
  return {
    id: value.Id,
    name: value.Name.replace(/^\//, ""),
    labels: value.Config.Labels,
    imageId: value.Image,
    imageName: value.Config.Image ?? "",
    networks: parseNetworkAddresses(value.NetworkSettings.Networks),
    state: parseState(value.State.Status),
    health: parseHealth(value.State.Health?.Status ?? ""),
    startedAt: value.State.StartedAt ?? "",
    ports: parsePorts([...Object.keys(value.Config.ExposedPorts), ...Object.keys(value.NetworkSettings.Ports)]),
    stopSignal: String(value.Config.StopSignal ?? ""),
  };
}

function parseNetworkAddresses(map: z.infer<typeof networkMap>): Record<string, Ipv4 | null> {
  return Object.fromEntries(
    Object.entries(map).map(([name, value]) => [name, parseIpv4(value?.IPAddress ?? "") ?? null]),
  );
}

const STATES: Readonly<Record<string, EngineState>> = {
  created: "created",
  configured: "created",
  initialized: "created",
  running: "running",
  paused: "paused",
  restarting: "restarting",
  stopping: "stopping",
  stopped: "exited",
  exited: "exited",
  removing: "removing",
  dead: "dead",
};

function parseState(text: string): EngineState {
  return STATES[text.toLowerCase()] ?? "unknown";
}

function parseHealth(text: string): EngineHealth {
  return text === "starting" || text === "healthy" || text === "unhealthy" ? text : "none";
}

function parsePorts(keys: readonly string[]): readonly ExposedPort[] {
  const ports = new Map<string, ExposedPort>();
  for (const key of keys) {
    const match = /^([0-9]{1,5})\/(tcp|udp|sctp)$/.exec(key);
    const port = Number(match?.[1]);
    if (match === null || port < 1 || port > 65535) continue;
    ports.set(key, { port, protocol: match[2] as ExposedPort["protocol"] });
  }
  return [...ports.values()].sort((a, b) => a.port - b.port || (a.protocol < b.protocol ? -1 : 1));
}

/** IPv4 subnets of bridge networks; undefined when the answer has not the expected shape. */
export function parseNetworks(json: unknown): readonly EngineNetwork[] | undefined {
  const parsed = networksSchema.safeParse(json);
  if (!parsed.success) return undefined;
  const networks: EngineNetwork[] = [];
  for (const network of parsed.data) {
    // A macvlan or ipvlan network has the LAN's own range: its neighbours are not this server's containers.
    if (network.Driver !== "bridge") continue;
    for (const config of network.IPAM?.Config ?? []) {
      const cidr = parseCidr(config.Subnet ?? "");
      if (cidr !== undefined) networks.push({ name: network.Name, cidr });
    }
  }
  return networks.sort((a, b) => (a.cidr < b.cidr ? -1 : 1));
}

/** Events that say nothing about a container's life, and come with every health check and every `exec`. */
const NOISE = /^(exec_|attach|detach|top$|resize|archive-path|extract-to-dir|copy|commit|export|cleanup$|sync$|init$)/;

/** Reads one line of `GET /events`; undefined for what is no hint for a mirror. */
export function parseEvent(json: unknown): EngineEvent | undefined {
  const parsed = eventSchema.safeParse(json);
  if (!parsed.success) return undefined;
  const { Type: type, Action: action, Actor: actor } = parsed.data;
  if (type === "container") {
    const id = actor?.ID ?? "";
    if (NOISE.test(action) || !/^[0-9a-f]{64}$/.test(id)) return undefined;
    const signal = actor?.Attributes?.signal;
    return signal === undefined || signal === null
      ? { type: "container", id, action }
      : { type: "container", id, action, signal: String(signal) };
  }
  if (type !== "network") return undefined;
  const container = actor?.Attributes?.container ?? "";
  // connect and disconnect are about the container; everything else is about the network
  return /^[0-9a-f]{64}$/.test(container) ? { type: "container", id: container, action } : { type: "network", action };
}
