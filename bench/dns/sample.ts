import { createHash, generateKeyPairSync } from "node:crypto";
import { ipv4FromNumber, ipv4ToNumber, type Ipv4 } from "../../src/model/address.ts";
import type { SubnetNumber } from "../../src/model/cluster.ts";
import { encodeContainerRecord } from "../../src/model/container-record.ts";
import { parseIdentityPublicKey, parseWireGuardPublicKey, serverIdOf } from "../../src/model/keys.ts";
import type { DnsLabel } from "../../src/model/names.ts";
import { signServerRecord, type SignedServerRecord } from "../../src/model/server-record.ts";

/** The cluster that everything here is in. */
export const CLUSTER_CIDR = "10.210.0.0/16";

const FIRST = 0x0ad20000;

const CONTAINERS_PER_SERVER = 253;

/** Containers of each service, and so addresses in each answer. */
const CONTAINERS_PER_SERVICE = 3;

/** A name and the addresses that it must be answered with, in any order. */
export interface SampleName {
  readonly name: string;
  readonly addresses: readonly Ipv4[];
}

/** A container, the n-th of its server. */
export interface SampleContainer {
  readonly n: number;
  readonly service: number;
  readonly address: Ipv4;
}

/** A mesh as large as is asked for: servers, 253 containers on each, three containers in each service. */
export interface Sample {
  readonly servers: readonly SignedServerRecord[];
  readonly containers: readonly SampleContainer[];
  /** names of services, those that questions are about */
  readonly names: readonly SampleName[];
  /** the row of a container as JSON text (server id, n, record), the larger revision being the later one */
  row(container: number, revision: number): string;
}

/** @param hasInstances each container has a name of its own besides its service's */
export function makeSample(services: number, hasInstances: boolean): Sample {
  const count = services * CONTAINERS_PER_SERVICE;
  const servers = Array.from({ length: Math.ceil(count / CONTAINERS_PER_SERVER) }, (_, subnet) => makeServer(subnet));
  const containers = Array.from({ length: count }, (_, index): SampleContainer => {
    const subnet = Math.floor(index / CONTAINERS_PER_SERVER);
    const n = index % CONTAINERS_PER_SERVER;
    const address = ipv4FromNumber(FIRST + subnet * 256 + 2 + n);
    return { n, service: Math.floor(index / CONTAINERS_PER_SERVICE), address };
  });
  const names = Array.from({ length: services }, (_, service): SampleName => {
    const first = service * CONTAINERS_PER_SERVICE;
    const addresses = containers.slice(first, first + CONTAINERS_PER_SERVICE).map(({ address }) => address);
    return { name: `bench-s${service}.jiji`, addresses };
  });
  return {
    servers,
    containers,
    names,
    row: (index, revision) => {
      const container = containers[index] as SampleContainer;
      const server = servers[Math.floor(index / CONTAINERS_PER_SERVER)] as SignedServerRecord;
      const record = encodeContainerRecord({
        containerId: createHash("sha256").update(`${index}`).digest("hex"),
        project: "bench" as DnsLabel,
        service: `s${container.service}` as DnsLabel,
        instance: hasInstances ? (`${(index % CONTAINERS_PER_SERVICE) + 1}` as DnsLabel) : null,
        address: container.address,
        state: "healthy",
        ports: [{ port: 8080, protocol: "tcp" }],
        meta: { image: `registry.example/bench/s${container.service % 100}:1.${container.service % 7}` },
        rev: 1_700_000_000_000 + revision,
      });
      return JSON.stringify([server.id, container.n, record]);
    },
  };
}

/** Names of the Internet that resolvers are asked for, each with the three addresses that the C loop gives anybody. */
export function makeForwardedNames(count: number): readonly SampleName[] {
  const addresses = [2, 3, 4].map((host) => ipv4FromNumber(FIRST + host));
  return Array.from({ length: count }, (_, index) => ({ name: `w${index}.bench.example`, addresses }));
}

function makeServer(subnet: number): SignedServerRecord {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("base64");
  const idKey = parseIdentityPublicKey(raw);
  const wireGuardKey = parseWireGuardPublicKey(raw);
  if (idKey === undefined || wireGuardKey === undefined) throw new Error("a key that was just made cannot be read");
  const record = {
    name: `server${subnet}` as DnsLabel,
    subnet: subnet as SubnetNumber,
    publicKey: wireGuardKey,
    idKey,
    endpoints: [],
    nat: false,
    version: "1.0.0",
    rev: 1,
  };
  return { ...signServerRecord(record, privateKey), id: serverIdOf(idKey) };
}

/** A plain question for the name's addresses, as a packet with id 0. */
export function encodeQuestion(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const header = Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

/** What load.c reads: each question with what its answer must have. */
export function encodeQuestions(names: readonly SampleName[]): Buffer {
  return Buffer.concat(
    names.map(({ name, addresses }) => {
      const packet = encodeQuestion(name);
      const head = Buffer.alloc(8);
      head.writeUInt16BE(packet.length, 0);
      head[3] = addresses.length;
      head.writeUInt32BE(
        addresses.reduce((sum, address) => (sum + ipv4ToNumber(address)) % 2 ** 32, 0),
        4,
      );
      return Buffer.concat([head, packet]);
    }),
  );
}
