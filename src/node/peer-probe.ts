import { serverAddress } from "../model/cluster.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import type { Member } from "../model/server-record.ts";
import type { Host } from "../system/host.ts";

export interface PeerProbe {
  /** whether a packet of the tunnel's full size came back */
  readonly fullSizePacket: boolean;
  readonly roundTripMs: number | null;
}

/** The headers of IPv4 and ICMP, which a ping's payload leaves room for within the tunnel's MTU. */
const IP_AND_ICMP_BYTES = 28;

/** The first packet over a new tunnel waits for the handshake; WireGuard repeats a lost one after 5 s. */
const ATTEMPTS = 4;

/** Sends every peer's .1 packets of full size that must not be fragmented (DF), to all peers at once. */
export async function probePeers(
  host: Host,
  spec: NodeSpec,
  members: readonly Member[],
): Promise<ReadonlyMap<string, PeerProbe>> {
  const results = await Promise.all(
    members.map(
      async ({ id, subnet }) => [id, await probe(host, spec, serverAddress(spec.cluster.cidr, subnet))] as const,
    ),
  );
  return new Map(results);
}

async function probe(host: Host, spec: NodeSpec, address: string): Promise<PeerProbe> {
  const payload = String(spec.cluster.mtuBytes - IP_AND_ICMP_BYTES);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { code, stdout } = await host.programs.run(
      ["ping", "-n", "-q", "-M", "do", "-s", payload, "-c", "1", "-W", "2", address],
      { timeoutMs: 10_000 },
    );
    if (code !== 0) continue;
    const roundTrip = /= ([0-9.]+)\//.exec(stdout)?.[1];
    return { fullSizePacket: true, roundTripMs: roundTrip === undefined ? null : Number(roundTrip) };
  }
  return { fullSizePacket: false, roundTripMs: null };
}
