import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { parseSubnetNumber, serverAddress, type ClusterCidr, type SubnetNumber } from "../../src/model/cluster.ts";
import { encodeContainerRecord, type ContainerRecord, type ContainerState } from "../../src/model/container-record.ts";
import { parseIdentityPublicKey, type ServerId, type WireGuardPublicKey } from "../../src/model/keys.ts";
import { signServerRecord, type SignedServerRecord } from "../../src/model/server-record.ts";

/** The largest mesh: so many servers with so many containers each, in a few network namespaces. */
export const CLUSTER = "10.210.0.0/16" as ClusterCidr;
export const SITES = ["a", "b", "c"] as const;
export type Site = (typeof SITES)[number];
export const STORE_PORT = 31_220;
export const GOSSIP_PORT = 31_280;

/** The server whose agent and jiji-dns are real and measured; it stands in the first site. */
export const SUBJECT = 0;

/** Containers of one server that are one service: as many addresses has an answer. */
const REPLICAS = 3;

export interface Size {
  readonly servers: number;
  readonly containers: number;
}

export function siteOf(n: number): Site {
  return SITES[n % SITES.length] as Site;
}

/** A site's address towards the others. */
export function siteAddress(site: Site): string {
  return `198.51.100.${SITES.indexOf(site) + 1}`;
}

export function subnetOf(n: number): SubnetNumber {
  const subnet = parseSubnetNumber(CLUSTER, n);
  if (subnet === undefined) throw new Error(`a mesh has no number ${n}`);
  return subnet;
}

export function addressOf(n: number): string {
  return serverAddress(CLUSTER, subnetOf(n));
}

/** RFC 8410: what comes before the 32 octets of an Ed25519 private key. */
const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");

/** The same key in every process that asks for it: nothing here is a secret. */
function keyOf(n: number): KeyObject {
  const seed = createHash("sha256").update(`bench ${n}`).digest();
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: "der", type: "pkcs8" });
}

export function signedServer(n: number): SignedServerRecord {
  const privateKey = keyOf(n);
  const raw = createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32).toString("base64");
  const idKey = parseIdentityPublicKey(raw);
  if (idKey === undefined) throw new Error("a key that was just made is none");
  const publicKey = createHash("sha256").update(`tunnel ${n}`).digest("base64") as WireGuardPublicKey;
  const facts = { name: `s${n}`, subnet: subnetOf(n), publicKey, idKey, endpoints: [], nat: false, version: "0.1.0" };
  return signServerRecord({ ...facts, rev: 1 } as unknown as Parameters<typeof signServerRecord>[0], privateKey);
}

export function idOf(n: number): ServerId {
  return signedServer(n).id;
}

/** The name of one container alone. */
export function nameOf(n: number, k: number): string {
  return `p${n}-c${Math.floor(k / REPLICAS)}-${(k % REPLICAS) + 1}.jiji`;
}

export function recordText(n: number, k: number, state: ContainerState, rev: number): string {
  return encodeContainerRecord({
    containerId: createHash("sha256").update(`${n} ${k}`).digest("hex"),
    project: `p${n}`,
    service: `c${Math.floor(k / REPLICAS)}`,
    instance: `${(k % REPLICAS) + 1}`,
    address: addressOf(n).replace(/\.1$/, `.${k + 2}`),
    state,
    ports: [{ port: 8080, protocol: "tcp" }],
    meta: { name: `p${n}-c${k}`, image: "registry.example/some/image:1.2.3" },
    rev,
  } as unknown as ContainerRecord);
}
