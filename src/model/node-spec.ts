import type { Endpoint } from "./address.ts";
import type { ClusterCidr, SubnetNumber } from "./cluster.ts";
import type { Sha256 } from "./keys.ts";
import type { DnsLabel } from "./names.ts";

export type EngineKind = "docker" | "podman";

/** Where the records are kept. */
export type StoreChoice =
  | { readonly kind: "corrosion" }
  /** one member holds them; for trials (docs/concepts.md) */
  | { readonly kind: "embedded"; readonly holder: SubnetNumber };

/**
 * How one server should be: a plain JSON value, kept as /opt/jiji/spec.json so that repair needs no operator. It says
 * nothing about other servers; who they are stands in members.json. No secret is ever part of it.
 */
export interface NodeSpec {
  readonly version: 1;
  /** the server's name in the mesh */
  readonly name: DnsLabel;
  /** its number, given once by setup under the lock */
  readonly subnet: SubnetNumber;
  readonly cluster: { readonly cidr: ClusterCidr; readonly mtuBytes: number };
  readonly engine: EngineKind;
  readonly store: StoreChoice;
  readonly dns: {
    readonly ttlSeconds: number;
    readonly localFirst: boolean;
    /** empty: the system's own resolvers */
    readonly upstreams: readonly Endpoint[];
  };
  /** where peers reach this server's WireGuard, best first */
  readonly endpoints: readonly Endpoint[];
  readonly nat: boolean;
  /** what this release installs, by content */
  readonly release: {
    readonly jiji: { readonly version: string; readonly sha256: Sha256 };
    /** absent with the embedded store */
    readonly corrosion?: { readonly version: string; readonly sha256: Sha256 };
  };
}
