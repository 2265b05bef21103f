import type { ServerId } from "../../model/keys.ts";
import type { NodeStatus } from "../../model/node/status.ts";
import type { Clock } from "../../system/host.ts";
import { JijiError } from "../../model/errors.ts";
import type { NodeClient } from "../servers/node-client.ts";

/** A server that was set up, and the members that it must be able to talk to now. */
export interface VerifyServer {
  readonly name: string;
  readonly client: NodeClient;
  readonly peers: readonly { readonly id: ServerId; readonly name: string }[];
}

export interface Verdict {
  /** undefined: the server could not be asked */
  readonly status: NodeStatus | undefined;
  /** peers with a handshake, of those that were asked about */
  readonly handshakes: { readonly good: number; readonly of: number };
  /** peers from which a packet of the tunnel's full size came back */
  readonly fullSize: { readonly good: number; readonly of: number };
  readonly dns: boolean;
  /** empty: all is well */
  readonly problems: readonly string[];
}

const RETRY_MS = 300;

/** A lost first packet makes WireGuard try again after 5 s; units may need a moment as well. */
export const VERIFY_TIMEOUT_MS = 20_000;

/**
 * Looks at every server until all is well there or the time is up: a handshake and a packet of full size with every peer,
 * an answer of its jiji-dns over UDP and TCP.
 */
export async function verifyServers(
  servers: readonly VerifyServer[],
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Verdict>> {
  const deadline = clock.monotonicMs() + VERIFY_TIMEOUT_MS;
  const verdicts = await Promise.all(
    servers.map(async (server): Promise<[string, Verdict]> => {
      for (;;) {
        const verdict = await verifyOnce(server);
        if (verdict.problems.length === 0 || clock.monotonicMs() >= deadline) return [server.name, verdict];
        await clock.sleep(RETRY_MS, signal);
      }
    }),
  );
  return new Map(verdicts);
}

async function verifyOnce(server: VerifyServer): Promise<Verdict> {
  try {
    return judge(await server.client.ask("status", { probe: true }), server.peers);
  } catch (error) {
    if (!(error instanceof JijiError)) throw error;
    const none = { good: 0, of: server.peers.length };
    return { status: undefined, handshakes: none, fullSize: none, dns: false, problems: [error.message] };
  }
}

/** What a status says about these peers. */
export function judge(status: NodeStatus, peers: VerifyServer["peers"]): Verdict {
  const problems: string[] = [];
  const known = status.wireguard.state === "found" ? status.wireguard.value.peers : [];
  if (status.wireguard.state !== "found") {
    problems.push(status.wireguard.state === "absent" ? "WireGuard is not up" : `WireGuard: ${status.wireguard.why}`);
  }
  let handshakes = 0;
  let fullSize = 0;
  for (const { id, name } of peers) {
    const peer = known.find((candidate) => candidate.id === id);
    if (peer === undefined || peer.handshakeAgeSeconds === null) {
      if (status.wireguard.state === "found") problems.push(`no handshake with ${name}`);
      continue;
    }
    handshakes++;
    if (peer.fullSizePacket === true) fullSize++;
    else problems.push(`no packet of full size comes back from ${name}`);
  }
  const dns = status.dns.state === "found" && status.dns.value.udp && status.dns.value.tcp;
  if (!dns) problems.push(describeDns(status));
  const of = peers.length;
  return { status, handshakes: { good: handshakes, of }, fullSize: { good: fullSize, of }, dns, problems };
}

function describeDns(status: NodeStatus): string {
  if (status.dns.state === "unknown") return `jiji-dns: ${status.dns.why}`;
  if (status.dns.state === "absent") return "jiji-dns does not answer";
  return `jiji-dns does not answer over ${status.dns.value.udp ? "TCP" : "UDP"}`;
}
