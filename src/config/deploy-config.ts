import type { Arch } from "../model/architecture.ts";
import type { ClusterCidr } from "../model/cluster.ts";
import type { Endpoint } from "../model/address.ts";
import type { DnsLabel } from "../model/names.ts";
import type { EngineKind } from "../model/node-spec.ts";
import type { Position } from "./problem.ts";
import type { ProxyJump, SshHost, SshUser } from "./ssh-words.ts";

/** deploy.yml, checked and with its defaults filled in. Paths are as written: `~` and relative ones not yet resolved. */
export interface DeployConfig {
  readonly project: DnsLabel;
  readonly ssh: SshConfig;
  /** in the order of the file; nothing depends on that order */
  readonly servers: readonly ServerConfig[];
  readonly network: NetworkConfig;
}

export interface SshConfig {
  readonly privateKeys: readonly string[];
  readonly keysOnly: boolean;
  readonly proxy: ProxyJump | undefined;
  readonly proxyCommand: string | undefined;
  /** which OpenSSH configuration applies underneath: the user's own, none, or these files */
  readonly config: "own" | "none" | readonly string[];
  readonly timeoutMs: number;
}

export interface ServerConfig {
  readonly name: DnsLabel;
  readonly host: SshHost;
  /** undefined: what OpenSSH's own configuration says */
  readonly user: SshUser | undefined;
  readonly port: number | undefined;
  readonly arch: Arch | undefined;
  readonly engine: EngineKind | undefined;
  /** where peers reach WireGuard; empty: at `host` */
  readonly endpoints: readonly EndpointWords[];
  readonly nat: boolean;
  /** positions in the file of `host` and of `endpoint` (without one, of the server's name), for later errors */
  readonly at: { readonly host: Position; readonly endpoint: Position };
}

/** An endpoint as written: its host may be a name that is still to be looked up. */
export interface EndpointWords {
  readonly host: string;
  /** undefined: WireGuard's own port */
  readonly port: number | undefined;
}

export interface NetworkConfig {
  readonly enabled: boolean;
  readonly clusterCidr: ClusterCidr;
  readonly store: { readonly kind: "corrosion" } | { readonly kind: "embedded"; readonly holder: DnsLabel };
  readonly dns: {
    readonly ttlSeconds: number;
    readonly localFirst: boolean;
    readonly upstreams: readonly Endpoint[];
  };
  readonly mtuBytes: number;
}

/** `network.mtu: auto`: Ethernet's 1500 bytes less the headers of WireGuard over IPv6, which are larger than over IPv4. */
export const AUTO_MTU_BYTES = 1420;
