/**
 * Every port that jiji uses, on the server's .1 unless said otherwise. Only WireGuard's is public; the packet filter
 * makes the rest of this table true (docs/security.md).
 */
export const PORTS = {
  /** udp, on every address */
  wireguard: 31820,
  /** udp and tcp, jiji-dns */
  dns: 53,
  /** udp (QUIC), Corrosion's gossip, members only; tcp is closed too, as the reference sheet names it */
  gossip: 31280,
  /** udp and tcp, agents: probes, news, requests */
  agent: 31281,
  /** tcp, the embedded store, only on its holder */
  embeddedStore: 31282,
  /** tcp, metrics of jiji-dns */
  metrics: 9531,
  /** tcp on 127.0.0.1, Corrosion's HTTP API */
  corrosionApi: 31220,
} as const;

/** The WireGuard interface. */
export const INTERFACE = "jiji0";

/** The containers' network in Docker or Podman. */
export const ENGINE_NETWORK = "jiji";

/** The name of the engine network's bridge on the server. */
export const BRIDGE = "jiji-br0";
