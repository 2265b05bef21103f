import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { ServerConfig } from "../src/config/deploy-config.ts";
import type { ObservedServer } from "../src/desired/observed-server.ts";
import type { ReleaseChoice } from "../src/desired/release-choice.ts";
import { parseEndpoint } from "../src/model/address.ts";
import type { ClusterCidr, SubnetNumber } from "../src/model/cluster.ts";
import type { Identity } from "../src/model/identity.ts";
import { parseIdentityPublicKey, serverIdOf, sha256Of, type WireGuardPublicKey } from "../src/model/keys.ts";
import type { DnsLabel } from "../src/model/names.ts";
import type { NodeFacts } from "../src/model/node/observe.ts";
import type { NodeSpec } from "../src/model/node-spec.ts";
import { ABSENT, found } from "../src/model/reading.ts";
import { signServerRecord, type SignedServerRecord } from "../src/model/server-record.ts";

/** A server of a mesh with its keys, for tests that put meshes together by hand. */
export interface MadeMember {
  readonly identity: Identity;
  readonly signed: SignedServerRecord;
  readonly privateKey: KeyObject;
}

export function makeMember(name: string, subnet: number, rev = 1): MadeMember {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64");
  const idKey = parseIdentityPublicKey(raw)!;
  const identity: Identity = { id: serverIdOf(idKey), idKey, name: name as DnsLabel, subnet: subnet as SubnetNumber };
  return { identity, privateKey, signed: signAgain({ identity, privateKey }, rev) };
}

/** The same member's record with another counter. */
export function signAgain({ identity, privateKey }: Omit<MadeMember, "signed">, rev: number): SignedServerRecord {
  return signServerRecord(
    {
      name: identity.name,
      subnet: identity.subnet,
      publicKey: createHash("sha256").update(identity.id).digest("base64") as WireGuardPublicKey,
      idKey: identity.idKey,
      endpoints: [],
      nat: false,
      version: "0.1.0",
      rev,
    },
    privateKey,
  );
}

export function makeFacts(facts: Partial<NodeFacts> = {}): NodeFacts {
  return {
    arch: "x64",
    os: { prettyName: "Debian GNU/Linux 13 (trixie)" },
    systemd: found("257"),
    glibc: found("2.41"),
    engines: { docker: found({ kind: "docker", version: "28.5.2" }), podman: ABSENT },
    identity: ABSENT,
    spec: ABSENT,
    members: ABSENT,
    release: { jiji: ABSENT },
    networks: [],
    listeners: [],
    findings: [],
    ...facts,
  };
}

export function makeServer(name: string, more: Partial<ServerConfig> = {}, facts?: Partial<NodeFacts>): ObservedServer {
  const place = { line: 1, column: 1 };
  return {
    config: {
      name: name as DnsLabel,
      host: name as never,
      user: undefined,
      port: undefined,
      arch: undefined,
      engine: undefined,
      endpoints: [],
      nat: false,
      at: { host: place, endpoint: place },
      ...more,
    },
    facts: makeFacts(facts),
    endpoints: [parseEndpoint("198.51.100.11:31820")!],
    selected: true,
  };
}

/** Facts of a server that has joined a mesh of these members. */
export function joinedFacts(member: MadeMember, all: readonly MadeMember[], cidr: string): Partial<NodeFacts> {
  return {
    identity: found(member.identity),
    members: found({ version: 1, members: all.map(({ signed }) => signed), removed: [] }),
    spec: found(makeSpec(member.identity.name, member.identity.subnet, cidr)),
  };
}

export function makeSpec(name: string, subnet: number, cidr: string): NodeSpec {
  return {
    version: 1,
    name: name as DnsLabel,
    subnet: subnet as SubnetNumber,
    cluster: { cidr: cidr as ClusterCidr, mtuBytes: 1420 },
    engine: "docker",
    store: { kind: "corrosion" },
    dns: { ttlSeconds: 60, localFirst: false, upstreams: [] },
    endpoints: [],
    nat: false,
    release: {
      jiji: { version: "0.1.0", sha256: sha256Of("jiji") },
      corrosion: { version: "v1.0.0", sha256: sha256Of("corrosion") },
    },
  };
}

export const madeRelease: ReleaseChoice = {
  jiji: {
    version: "0.1.0",
    byArch: {
      x64: { sha256: sha256Of("jiji x64"), glibc: "2.17" },
      arm64: { sha256: sha256Of("jiji arm64"), glibc: "2.17" },
    },
  },
  corrosion: {
    version: "v1.0.0",
    byArch: {
      x64: { sha256: sha256Of("corrosion x64"), glibc: "2.34" },
      arm64: { sha256: sha256Of("corrosion arm64"), glibc: "2.34" },
    },
  },
};
