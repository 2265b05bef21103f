import { z } from "zod";
import { BRIDGE, ENGINE_NETWORK, INTERFACE } from "../model/ports.ts";
import { ABSENT, found, known, mapReading, unknown, type Reading } from "../model/reading.ts";
import {
  NETWORK_LABEL,
  type AttachedContainer,
  type DesiredNetwork,
  type ObservedNetwork,
} from "../plan/kinds/engine-network.ts";
import type { Host } from "../system/host.ts";
import { look, lookIfInstalled, lookJson, readJson, runChecked } from "./programs.ts";

const BRIDGE_NAME = "com.docker.network.bridge.name";
const BRIDGE_MTU = "com.docker.network.driver.mtu";
const TRUSTED = "com.docker.network.bridge.trusted_host_interfaces";

const networkSchema = z.array(
  z.object({
    Driver: z.string(),
    Internal: z.boolean().default(false),
    IPAM: z.object({
      Config: z
        .array(z.object({ Subnet: z.string().default(""), Gateway: z.string().optional() }))
        .nullable()
        .default([]),
    }),
    Options: z.record(z.string(), z.string()).nullable().default({}),
    Labels: z.record(z.string(), z.string()).nullable().default({}),
  }),
);

/** A network of an engine with its IPv4 subnets. */
export interface ListedNetwork {
  readonly name: string;
  readonly subnets: readonly string[];
}

/** All of Docker's networks; absent when Docker's command is not installed. */
export async function listDockerNetworks(host: Host): Promise<Reading<readonly ListedNetwork[]>> {
  const argv = ["docker", "network", "ls", "--no-trunc", "--format", "{{json .}}"] as const;
  const listed = await lookLines(host, argv, listedSchema);
  if (listed.state !== "found" || listed.value.length === 0) return listed.state === "found" ? found([]) : listed;
  const schema = z.array(networkSchema.element.extend({ Name: z.string() }));
  const ids = listed.value.map(({ ID }) => ID);
  return mapReading(await lookJson(host, ["docker", "network", "inspect", ...ids], schema), (list) =>
    list.map(({ Name, IPAM }) => ({ name: Name, subnets: (IPAM.Config ?? []).map(({ Subnet }) => Subnet) })),
  );
}

const listedSchema = z.object({ Name: z.string(), ID: z.string() });
const containerSchema = z.object({ ID: z.string(), Names: z.string(), State: z.string().default("") });

/** Docker's network "jiji"; absent too when Docker's command is not installed. */
export async function observeDockerNetwork(host: Host): Promise<Reading<ObservedNetwork>> {
  const listed = await lookLines(
    host,
    ["docker", "network", "ls", "--no-trunc", "--filter", `name=^${ENGINE_NETWORK}$`, "--format", "{{json .}}"],
    listedSchema,
  );
  if (listed.state !== "found") return listed;
  const network = listed.value.find(({ Name }) => Name === ENGINE_NETWORK);
  if (network === undefined) return ABSENT;
  const inspected = await lookJson(host, ["docker", "network", "inspect", network.ID], networkSchema);
  if (inspected.state !== "found") return inspected;
  const attached = await attachedToDocker(host);
  if (attached.state !== "found") return attached;
  const [details] = inspected.value;
  return details === undefined ? ABSENT : found({ ...networkOf(details), attached: attached.value });
}

function networkOf(details: z.infer<typeof networkSchema>[number]): Omit<ObservedNetwork, "attached"> {
  const options = details.Options ?? {};
  const mtu = options[BRIDGE_MTU];
  return {
    driver: details.Driver,
    subnets: (details.IPAM.Config ?? []).map(({ Subnet, Gateway }) => ({ subnet: Subnet, gateway: Gateway ?? null })),
    bridge: options[BRIDGE_NAME] ?? null,
    mtuBytes: mtu === undefined ? null : Number(mtu),
    isInternal: details.Internal,
    hasDns: false,
    trustsTunnel: (options[TRUSTED] ?? "").split(":").includes(INTERFACE),
    isLabelled: (details.Labels ?? {})[NETWORK_LABEL] !== undefined,
  };
}

async function attachedToDocker(host: Host): Promise<Reading<readonly AttachedContainer[]>> {
  const filter = `network=${ENGINE_NETWORK}`;
  const containers = await lookLines(
    host,
    ["docker", "ps", "-a", "--no-trunc", "--filter", filter, "--format", "{{json .}}"],
    containerSchema,
  );
  return mapReading(containers, (list) =>
    list.map(({ ID, Names, State }) => ({ id: ID, name: Names, isRunning: State === "running" })),
  );
}

/** One JSON value per line; absent when docker is not installed. */
async function lookLines<T>(
  host: Host,
  argv: readonly [string, ...string[]],
  schema: z.ZodType<T>,
): Promise<Reading<readonly T[]>> {
  const output = await lookIfInstalled(host, argv);
  if (output.state !== "found") return output;
  const lines = output.value.split("\n").filter((line) => line !== "");
  return readJson(`[${lines.join(",")}]`, z.array(schema), argv.slice(0, 3).join(" "));
}

/** Whether this Docker knows trusted host interfaces, which came with 28.2. */
export async function observeDockerTrust(host: Host): Promise<Reading<boolean>> {
  const output = await look(host, ["docker", "version", "--format", "{{.Server.Version}}"]);
  if (output.state !== "found") return output;
  const version = /^([0-9]+)\.([0-9]+)/.exec(output.value.trim());
  if (version === null) return unknown(`docker says that its version is ${output.value.trim()}`);
  const [major, minor] = [Number(version[1]), Number(version[2])];
  return found(major > 28 || (major === 28 && minor >= 2));
}

export async function createDockerNetwork(host: Host, network: DesiredNetwork): Promise<void> {
  const options = [
    `${BRIDGE_NAME}=${BRIDGE}`,
    `${BRIDGE_MTU}=${network.mtuBytes}`,
    ...(network.trustsTunnel ? [`${TRUSTED}=${INTERFACE}`] : []),
  ];
  await runChecked(host, [
    ...(["docker", "network", "create", "--driver", "bridge"] as const),
    ...["--subnet", network.subnet, "--gateway", network.gateway],
    ...options.flatMap((option) => ["--opt", option]),
    ...["--label", `${NETWORK_LABEL}=1`, ENGINE_NETWORK],
  ]);
}

/** Disconnects every container, running or not, and removes the network. No container is stopped. */
export async function removeDockerNetwork(host: Host): Promise<void> {
  const network = known(await observeDockerNetwork(host), "the network of Docker");
  if (network === undefined) return;
  for (const { id } of network.attached) {
    await runChecked(host, ["docker", "network", "disconnect", "--force", ENGINE_NETWORK, id]);
  }
  await runChecked(host, ["docker", "network", "rm", ENGINE_NETWORK]);
}
