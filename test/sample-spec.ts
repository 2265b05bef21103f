import { generateKeyPairSync } from "node:crypto";
import { parseEndpoint } from "../src/model/address.ts";
import type { SubnetNumber } from "../src/model/cluster.ts";
import {
  parseIdentityPublicKey,
  sha256Of,
  type IdentityPublicKey,
  type ServerId,
  type WireGuardPublicKey,
} from "../src/model/keys.ts";
import type { DnsLabel } from "../src/model/names.ts";
import { parseNodeSpecFile, type NodeSpec } from "../src/model/node-spec.ts";
import { signServerRecord, type Member, type SignedServerRecord } from "../src/model/server-record.ts";

/** What the uploads of a sample spec hold. */
export const SAMPLE_PROGRAMS = { jiji: "jiji 0.1.0", corrosion: "corrosion 1.0.0" } as const;

/** A spec as JSON, number 0 called web1, with Corrosion; `change` edits it before it is parsed. */
export function sampleSpec(change: (json: Record<string, unknown>) => void = () => undefined): NodeSpec {
  const json: Record<string, unknown> = {
    version: 1,
    name: "web1",
    subnet: 0,
    cluster: { cidr: "10.210.0.0/16", mtuBytes: 1420 },
    engine: "docker",
    store: { kind: "corrosion" },
    dns: { ttlSeconds: 60, localFirst: false, upstreams: [] },
    endpoints: ["198.51.100.1:31820"],
    nat: false,
    release: {
      jiji: { version: "0.1.0", sha256: sha256Of(SAMPLE_PROGRAMS.jiji) },
      corrosion: { version: "v1.0.0", sha256: sha256Of(SAMPLE_PROGRAMS.corrosion) },
    },
  };
  change(json);
  const spec = parseNodeSpecFile(JSON.stringify(json));
  if (spec === undefined) throw new Error("the sample spec is malformed");
  return spec;
}

/** Another server's signed record, with keys of its own. */
export function sampleRecord(name: string, subnet: number, change: { rev?: number } = {}): SignedServerRecord {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const idKey = parseIdentityPublicKey(
    publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64"),
  );
  if (idKey === undefined) throw new Error("no key");
  const wireguard = Buffer.alloc(32, subnet + 1).toString("base64") as WireGuardPublicKey;
  return signServerRecord(
    {
      name: name as DnsLabel,
      subnet: subnet as SubnetNumber,
      publicKey: wireguard,
      idKey,
      endpoints: [],
      nat: false,
      version: "0.1.0",
      rev: change.rev ?? 1,
    },
    privateKey,
  );
}

/** A verified member, with keys of its own that depend on its number alone. */
export function sampleMember(
  name: string,
  subnet: number,
  change: { readonly nat?: boolean; readonly endpoints?: readonly string[] } = {},
): Member {
  const endpoints = change.endpoints ?? [`198.51.100.${subnet + 1}:31820`];
  return {
    id: subnet.toString(16).padStart(32, "0") as ServerId,
    name: name as DnsLabel,
    subnet: subnet as SubnetNumber,
    publicKey: Buffer.alloc(32, subnet + 1).toString("base64") as WireGuardPublicKey,
    idKey: Buffer.alloc(32, subnet + 1).toString("base64") as IdentityPublicKey,
    endpoints: endpoints.flatMap((text) => parseEndpoint(text) ?? []),
    nat: change.nat ?? false,
    version: "0.1.0",
    rev: 1,
  };
}
