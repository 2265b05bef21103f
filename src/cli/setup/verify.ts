import type { ServerId } from "../../model/keys.ts";
import { finding, type Finding } from "../../model/finding.ts";
import { judgeConnections } from "../../model/node/status-findings.ts";
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
  /** peers with a handshake, of those that were asked about */
  readonly handshakes: { readonly good: number; readonly of: number };
  /** peers from which a packet of the tunnel's full size came back */
  readonly fullSize: { readonly good: number; readonly of: number };
  readonly dns: boolean;
  /** empty: all is well */
  readonly findings: readonly Finding[];
}

const RETRY_MS = 300;

/** WireGuard repeats a lost first packet after 5 s, and units may need a moment to start. */
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
        if (verdict.findings.length === 0 || clock.monotonicMs() >= deadline) return [server.name, verdict];
        await clock.sleep(RETRY_MS, signal);
      }
    }),
  );
  return new Map(verdicts);
}

async function verifyOnce(server: VerifyServer): Promise<Verdict> {
  try {
    return judge(await server.client.ask("status", { probe: true }), server);
  } catch (error) {
    if (!(error instanceof JijiError)) throw error;
    const none = { good: 0, of: server.peers.length };
    const findings = [finding("no-answer", { server: server.name, evidence: error.message, cure: error.hint })];
    return { handshakes: none, fullSize: none, dns: false, findings };
  }
}

function judge(status: NodeStatus, { name, peers }: VerifyServer): Verdict {
  const { wireguard, dns } = status;
  const known = wireguard.state === "found" ? wireguard.value.peers : [];
  const joined = known.filter(
    (peer) => peer.handshakeAgeSeconds !== null && peers.some(({ id }) => String(id) === peer.id),
  );
  const of = peers.length;
  return {
    handshakes: { good: joined.length, of },
    fullSize: { good: joined.filter(({ fullSizePacket }) => fullSizePacket === true).length, of },
    dns: dns.state === "found" && dns.value.udp && dns.value.tcp,
    findings: judgeConnections(status, peers).map((found) => ({ ...found, server: name })),
  };
}
