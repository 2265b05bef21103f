import type { Identity } from "./identity.ts";
import type { MembersFile } from "./members.ts";
import type { EngineKind, NodeSpec } from "./node-spec.ts";
import type { WireGuardPublicKey } from "./keys.ts";
import type { Reading } from "./reading.ts";
import type { SignedServerRecord } from "./server-record.ts";

/**
 * What the CLI and `jiji node …` say to each other over SSH: one JSON request on standard input, NDJSON on standard
 * output. Everything that a server says is data: the CLI parses it with the schemas beside its use, and shows it escaped.
 */

/** `jiji node observe`: facts for preflight and allocation. Never writes. */
export interface ObserveRequest {
  /** the engine that the file asks for; null: whatever is found */
  readonly engine: EngineKind | null;
  readonly clusterCidr: string;
}

export interface EngineFacts {
  readonly kind: EngineKind;
  readonly version: string;
  /** Podman only: whether the backend is netavark */
  readonly netavark?: boolean;
  readonly rootless?: boolean;
}

export interface NodeFacts {
  readonly hostname: string;
  readonly arch: "x64" | "arm64" | string;
  /** ID and VERSION_ID of os-release */
  readonly os: { readonly id: string; readonly versionId: string; readonly prettyName: string };
  readonly systemd: Reading<string>;
  readonly glibc: Reading<string>;
  readonly packageManager: "apt" | "dnf" | "zypper" | null;
  /** each engine found; an engine that is installed but does not answer is unknown */
  readonly engines: { readonly docker: Reading<EngineFacts>; readonly podman: Reading<EngineFacts> };
  /** made by an earlier setup */
  readonly identity: Reading<Identity>;
  readonly publicKey: Reading<WireGuardPublicKey>;
  readonly spec: Reading<NodeSpec>;
  readonly members: Reading<MembersFile>;
  readonly release: { readonly jiji: Reading<string>; readonly corrosion: Reading<string> };
  /** networks in use on this server, jiji's own left out, for the overlap check */
  readonly networks: readonly { readonly cidr: string; readonly what: string }[];
  /** who listens on the ports that jiji needs, jiji's own processes left out */
  readonly listeners: readonly {
    readonly protocol: "udp" | "tcp";
    readonly address: string;
    readonly port: number;
    readonly program: string;
  }[];
  /** reasons why this server is unfit that no other field tells, e.g. an engine network "jiji" that is somebody else's */
  readonly obstacles: readonly { readonly code: string; readonly message: string; readonly hint: string }[];
}

/** `jiji node apply`: with `dryRun` it plans, prints the steps and changes nothing. */
export interface ApplyRequest {
  readonly goal:
    | { readonly phase: "prepare"; readonly spec: NodeSpec }
    | {
        readonly phase: "join";
        readonly spec: NodeSpec;
        readonly members: readonly SignedServerRecord[];
        readonly expected: readonly { readonly name: string; readonly subnet: number }[];
      }
    | { readonly phase: "teardown" };
  readonly dryRun: boolean;
  readonly restartEngine: boolean;
  /** embedded store only: the mesh's token, from the holder's prepare to the others' join */
  readonly storeToken?: string;
}

/** Lines that `jiji node apply` prints. The last one is `done` or `failed`. */
export type ApplyEvent =
  | {
      readonly type: "plan";
      readonly steps: readonly {
        readonly kind: string;
        readonly target: string;
        readonly verb: string;
        readonly summary: string;
        readonly details?: readonly string[];
      }[];
    }
  | { readonly type: "step"; readonly index: number; readonly state: "started" | "done" }
  | { readonly type: "progress"; readonly line: string }
  | {
      readonly type: "done";
      /** after prepare and join: this server's own signed record */
      readonly record?: SignedServerRecord;
      /** after prepare on the holder of an embedded store */
      readonly storeToken?: string;
      /** things to tell the operator, e.g. containers that still have an old resolv.conf */
      readonly notes: readonly string[];
    }
  | { readonly type: "failed"; readonly message: string; readonly hint?: string };

/** `jiji node lock`: held while standard input is open. First line out: one of these. */
export type LockEvent =
  | { readonly type: "held" }
  /** `holder` is what the other one gave as its own description */
  | { readonly type: "busy"; readonly holder: string };

export interface LockRequest {
  /** who asks, for the other side's message: user@host, command, time */
  readonly holder: string;
}

/** WireGuard renews a handshake in use every 2 minutes; after this long nothing can pass. */
export const STALE_HANDSHAKE_SECONDS = 300;

/** `jiji node status`: one server as it is now. With `probe`, full-size packets are sent to every peer. */
export interface StatusRequest {
  readonly probe: boolean;
}

export interface NodeStatus {
  readonly identity: Reading<Identity>;
  readonly version: string;
  readonly members: readonly {
    readonly id: string;
    readonly name: string;
    readonly subnet: number;
    /** when this server first heard of it, ms since 1970 by its own clock; null: not known */
    readonly firstSeenMs: number | null;
  }[];
  readonly wireguard: Reading<{
    readonly peers: readonly {
      readonly id: string;
      readonly name: string;
      readonly endpoint: string | null;
      /** seconds since the latest handshake; null: never */
      readonly handshakeAgeSeconds: number | null;
      readonly receivedBytes: number;
      readonly sentBytes: number;
      /** only with `probe`: whether a packet of the tunnel's full size came back */
      readonly fullSizePacket?: boolean;
      readonly roundTripMs?: number | null;
    }[];
  }>;
  /** systemd's word for each unit: active, failed, inactive, … */
  readonly units: Readonly<Record<string, string>>;
  readonly store: Reading<{
    readonly kind: "corrosion" | "embedded";
    readonly rows: number;
    readonly sizeBytes: number | null;
  }>;
  /** whether jiji-dns on .1 answered a question for the zone's SOA, over UDP and TCP */
  readonly dns: Reading<{ readonly udp: boolean; readonly tcp: boolean; readonly latencyMs: number }>;
  readonly agent: Reading<{ readonly ready: boolean }>;
  readonly engine: Reading<{ readonly kind: EngineKind; readonly version: string }>;
  /** containers of the engine network, by state */
  readonly containers: Reading<Readonly<Record<string, number>>>;
  /** what is not as it should be, for people */
  readonly problems: readonly string[];
  /** what people should know and need not mend */
  readonly notes: readonly string[];
}
