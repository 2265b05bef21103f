import { stringify } from "smol-toml";
import { endpointOf, type Ipv4 } from "../model/address.ts";
import { PATHS } from "../model/paths.ts";
import { PORTS } from "../model/ports.ts";
import type { Secret } from "../model/secret.ts";

export interface CorrosionConfigInput {
  /** the server's own .1 */
  readonly address: Ipv4;
  /** the other members' .1, in order of subnet number */
  readonly peers: readonly Ipv4[];
  readonly mtuBytes: number;
  readonly token: Secret;
}

/** The headers of IPv4 and UDP: by so much QUIC's packets must be smaller than the tunnel's MTU. */
const IP_AND_UDP_BYTES = 28;

/** Per connection. Corrosion's own default is 1 GiB, which small servers do not have. */
const CACHE_KIB = 16_384;

/** The write-ahead log is emptied beyond this; the default of 5 GB is meant for large machines. */
const WAL_MEGABYTES = 64;

/**
 * /opt/jiji/corrosion/config.toml, all of it a secret, since it holds the token. Nothing leaves or enters outside the
 * tunnel: gossip listens and calls from the server's own .1, the HTTP API is on loopback.
 */
export function renderCorrosionConfig({ address, peers, mtuBytes, token }: CorrosionConfigInput): string {
  const config = {
    db: {
      path: PATHS.corrosionDatabase,
      schema_paths: [PATHS.corrosionSchemaFolder],
      cache_size_kib: -CACHE_KIB,
    },
    gossip: {
      addr: endpointOf(address, PORTS.gossip) ?? "",
      client_addr: `${address}:0`,
      bootstrap: peers.map((peer) => endpointOf(peer, PORTS.gossip) ?? ""),
      // QUIC without its own encryption: WireGuard is underneath, and the packet filter lets nothing else come
      plaintext: true,
      max_mtu: mtuBytes - IP_AND_UDP_BYTES,
    },
    api: {
      addr: `127.0.0.1:${PORTS.corrosionApi}`,
      authz: { "bearer-token": token.reveal() },
    },
    admin: { path: PATHS.corrosionAdminSocket },
    perf: { wal_threshold_mb: WAL_MEGABYTES },
    log: { format: "plaintext", colors: false },
  };
  return `# Written by jiji; the next setup replaces it. It holds a token: keep its mode.\n\n${stringify(config)}\n`;
}

/**
 * The part of a configuration whose change needs a restart of Corrosion: all but the bootstrap list. Corrosion reads that list
 * only at its start, and does not need it once it has met the others. The result is never shown: it holds the token.
 */
export function withoutBootstrap(text: string): string {
  return text.replace(/^bootstrap = .*$/m, "");
}
