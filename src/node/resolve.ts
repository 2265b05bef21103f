import { serverAddress } from "../model/cluster.ts";
import type { ResolvedName } from "../model/node/resolve.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import { PORTS } from "../model/ports.ts";
import { openDnsClient, type DnsClient } from "../system/dns-client.ts";
import type { Host } from "../system/host.ts";
import { requireSpec } from "./own-files.ts";
import type { Call } from "./call.ts";

/** Questions under way at once, few enough for a DNS server to take from one source. */
const PARALLEL = 64;

/** The pause between two rounds of questions. */
const AGAIN_MS = 50;

/** `jiji node resolve`: asks this server's jiji-dns as any client would, and says what came. */
export async function runNodeResolve(
  request: CheckedRequestOf<"resolve">,
  { host, say }: Call<"resolve">,
): Promise<void> {
  const { cluster, subnet } = await requireSpec(host.files);
  const server = { address: serverAddress(cluster.cidr, subnet), port: PORTS.dns };
  const client = await openDnsClient(server);
  try {
    const { answers, isSettled } = await resolveUntil(client, request, host.clock);
    for (const answer of answers) say({ type: "answer", ...answer });
    say({ type: "resolved", endpoint: `${server.address}:${server.port}`, isSettled });
  } finally {
    client.close();
  }
}

/** Asks once, or repeatedly until `until` is true or its time is up. A missing answer settles nothing. */
export async function resolveUntil(
  client: DnsClient,
  { names, until }: CheckedRequestOf<"resolve">,
  clock: Host["clock"],
): Promise<{ readonly answers: readonly ResolvedName[]; readonly isSettled: boolean }> {
  const deadlineMs = clock.monotonicMs() + (until?.timeoutMs ?? 0);
  for (;;) {
    const answers = await resolveAll(client, names);
    if (until === null) return { answers, isSettled: true };
    const isHeld = answers.some(({ addresses }) => addresses.includes(until.address));
    const areAnswered = answers.every(({ rcode }) => rcode !== null && rcode !== "SERVFAIL");
    const isSettled = areAnswered && isHeld === (until.is === "present");
    if (isSettled || clock.monotonicMs() >= deadlineMs) return { answers, isSettled };
    await clock.sleep(AGAIN_MS);
  }
}

async function resolveAll(client: DnsClient, names: readonly string[]): Promise<readonly ResolvedName[]> {
  const answers: ResolvedName[] = [];
  for (let at = 0; at < names.length; at += PARALLEL) {
    answers.push(...(await Promise.all(names.slice(at, at + PARALLEL).map((name) => resolve(client, name)))));
  }
  return answers;
}

async function resolve(client: DnsClient, name: string): Promise<ResolvedName> {
  const answer = await client.addresses(name);
  if (answer === undefined)
    return { name, rcode: null, addresses: [], ttlSeconds: null, transport: "udp", latencyMs: 0 };
  return { name, ...answer, addresses: [...answer.addresses] };
}
