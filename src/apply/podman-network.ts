import { z } from "zod";
import { JijiError } from "../model/errors.ts";
import { BRIDGE, ENGINE_NETWORK } from "../model/ports.ts";
import { ABSENT, found, known, mapReading, type Reading } from "../model/reading.ts";
import {
  NETWORK_LABEL,
  type AttachedContainer,
  type DesiredNetwork,
  type ObservedNetwork,
} from "../plan/kinds/engine-network.ts";
import type { Host } from "../system/host.ts";
import type { ListedNetwork } from "./docker-network.ts";
import { lookIfInstalled, lookJson, readJson, runChecked } from "./programs.ts";

/** Where netavark keeps networks unless containers.conf says otherwise. */
export const PODMAN_NETWORK_FOLDER = "/etc/containers/networks";

const NETWORK_FILE = `${PODMAN_NETWORK_FOLDER}/${ENGINE_NETWORK}.json`;

const networksSchema = z.array(
  z.object({
    name: z.string(),
    driver: z.string(),
    network_interface: z.string().nullable().default(null),
    subnets: z
      .array(z.object({ subnet: z.string(), gateway: z.string().nullable().default(null) }))
      .nullable()
      .default([]),
    internal: z.boolean().default(false),
    dns_enabled: z.boolean().default(false),
    labels: z.record(z.string(), z.string()).nullable().default({}),
    options: z.record(z.string(), z.string()).nullable().default({}),
  }),
);

const containersSchema = z
  .array(z.object({ Id: z.string(), Names: z.array(z.string()).nullable(), State: z.string() }))
  .nullable();

type PodmanNetworks = z.infer<typeof networksSchema>;

/** Absent when Podman is not installed. */
async function lookNetworks(host: Host): Promise<Reading<PodmanNetworks>> {
  const output = await lookIfInstalled(host, ["podman", "network", "ls", "--format", "json"]);
  return output.state === "found" ? readJson(output.value, networksSchema, "podman network ls") : output;
}

/** All of Podman's networks; absent when Podman is not installed. */
export async function listPodmanNetworks(host: Host): Promise<Reading<readonly ListedNetwork[]>> {
  return mapReading(await lookNetworks(host), (networks) =>
    networks.map(({ name, subnets }) => ({ name, subnets: (subnets ?? []).map(({ subnet }) => subnet) })),
  );
}

/** Podman's network "jiji"; absent too when Podman is not installed. */
export async function observePodmanNetwork(host: Host): Promise<Reading<ObservedNetwork>> {
  const networks = await lookNetworks(host);
  if (networks.state !== "found") return networks;
  const network = networks.value.find(({ name }) => name === ENGINE_NETWORK);
  if (network === undefined) return ABSENT;
  const attached = await attachedToPodman(host);
  if (attached.state !== "found") return attached;
  const mtu = (network.options ?? {})["mtu"];
  return found({
    driver: network.driver,
    subnets: network.subnets ?? [],
    bridge: network.network_interface,
    mtuBytes: mtu === undefined ? null : Number(mtu),
    isInternal: network.internal,
    hasDns: network.dns_enabled,
    trustsTunnel: true,
    isLabelled: (network.labels ?? {})[NETWORK_LABEL] !== undefined,
    attached: attached.value,
  });
}

async function attachedToPodman(host: Host): Promise<Reading<readonly AttachedContainer[]>> {
  const argv = ["podman", "ps", "-a", "--filter", `network=${ENGINE_NETWORK}`, "--format", "json"] as const;
  return mapReading(await lookJson(host, argv, containersSchema), (containers) =>
    (containers ?? []).map(({ Id, Names, State }) => ({
      id: Id,
      name: Names?.[0] ?? Id.slice(0, 12),
      isRunning: State === "running",
    })),
  );
}

/**
 * Podman refuses a subnet in which an interface of the host has an address, and jiji0 has its .1. Podman looks only at the
 * network namespace that it runs in, so it runs in an empty one of its own. The network itself is a file, and no packet of
 * the running tunnel is touched.
 */
export async function createPodmanNetwork(host: Host, network: DesiredNetwork): Promise<void> {
  const help = await runChecked(host, ["podman", "network", "create", "--help"]);
  const namesInterface = help.stdout.includes("--interface-name");
  await runChecked(host, [
    ...(["unshare", "--net", "podman", "network", "create", "--driver", "bridge", "--disable-dns"] as const),
    ...["--subnet", network.subnet, "--gateway", network.gateway, "--opt", `mtu=${network.mtuBytes}`],
    ...(namesInterface ? ["--interface-name", BRIDGE] : []),
    ...["--label", `${NETWORK_LABEL}=1`, ENGINE_NETWORK],
  ]);
  if (!namesInterface) await nameInterface(host);
}

/** Before 4.5 or so, Podman chooses the bridge's name itself; it reads it from the file that it just wrote. */
async function nameInterface(host: Host): Promise<void> {
  const text = await host.files.read(NETWORK_FILE);
  const schema = z.looseObject({ name: z.literal(ENGINE_NETWORK), network_interface: z.string() });
  const network = text.state === "found" ? readJson(text.value, schema, NETWORK_FILE) : text;
  if (network.state !== "found") {
    throw new JijiError("remote", `podman did not write ${NETWORK_FILE}`, {
      hint: `upgrade Podman to a version with \`network create --interface-name\``,
    });
  }
  const named = { ...network.value, network_interface: BRIDGE };
  await host.files.write(NETWORK_FILE, JSON.stringify(named, null, 5), { mode: 0o644 });
}

/**
 * Disconnects every container, running or not, and removes the network. `podman network rm --force` would remove the
 * containers with it, so it is never used.
 */
export async function removePodmanNetwork(host: Host): Promise<void> {
  const network = known(await observePodmanNetwork(host), "the network of Podman");
  if (network === undefined) return;
  for (const { id } of network.attached) {
    await runChecked(host, ["podman", "network", "disconnect", "--force", ENGINE_NETWORK, id]);
  }
  await runChecked(host, ["podman", "network", "rm", ENGINE_NETWORK]);
}
