/** A port that jiji listens on. */
export interface OwnPort {
  readonly port: number;
  /** kept free for jiji, whether both are used or not: the packet filter closes them to everybody else */
  readonly protocols: readonly ("udp" | "tcp")[];
  /** every address, the server's own .1, or 127.0.0.1 */
  readonly on: "any" | "server" | "loopback";
  /** whose port it is, for people */
  readonly what: string;
  /** listens only where records are in Corrosion, or only on the holder of an embedded store; undefined: everywhere */
  readonly onlyWith?: "corrosion" | "embedded store";
}

/**
 * Every port that jiji listens on. Only WireGuard's is public; the packet filter makes the rest of this table true
 * (docs/security.md).
 */
export const OWN_PORTS = {
  wireguard: { port: 31820, protocols: ["udp"], on: "any", what: "WireGuard" },
  dns: { port: 53, protocols: ["udp", "tcp"], on: "server", what: "jiji-dns" },
  /** QUIC between stores, members only */
  gossip: { port: 31280, protocols: ["udp", "tcp"], on: "server", what: "Corrosion", onlyWith: "corrosion" },
  /** probes and news between agents, members only */
  agent: { port: 31281, protocols: ["udp", "tcp"], on: "server", what: "jiji-agent" },
  embeddedStore: {
    port: 31282,
    protocols: ["tcp"],
    on: "server",
    what: "the embedded store",
    onlyWith: "embedded store",
  },
  metrics: { port: 9531, protocols: ["tcp"], on: "server", what: "the metrics of jiji-dns" },
  /** Corrosion's HTTP API */
  corrosionApi: {
    port: 31220,
    protocols: ["tcp"],
    on: "loopback",
    what: "Corrosion's interface",
    onlyWith: "corrosion",
  },
} as const satisfies Readonly<Record<string, OwnPort>>;

/** The numbers of {@link OWN_PORTS}. */
export const PORTS = Object.fromEntries(Object.entries(OWN_PORTS).map(([name, { port }]) => [name, port])) as {
  readonly [Name in keyof typeof OWN_PORTS]: (typeof OWN_PORTS)[Name]["port"];
};

/** Where servers trust each other by address: nobody else may come there or speak from there. */
export const TRUSTING_PORTS: readonly number[] = [PORTS.gossip, PORTS.agent, PORTS.embeddedStore];

/** The WireGuard interface. */
export const INTERFACE = "jiji0";

/** The containers' network in Docker or Podman. */
export const ENGINE_NETWORK = "jiji";

/** The name of the engine network's bridge on the server. */
export const BRIDGE = "jiji-br0";
