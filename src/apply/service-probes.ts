import { messageOf } from "../model/errors.ts";
import { serverAddress } from "../model/cluster.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { PORTS } from "../model/ports.ts";
import { storeOf } from "../render/agent-settings.ts";
import { openStoreClient } from "../store/client.ts";
import { parseStoreUrl } from "../store/store-url.ts";
import { readAgentState } from "../system/agent-client.ts";
import { askForSoa } from "../system/dns-client.ts";
import type { Host } from "../system/host.ts";
import { loadToken } from "./kinds/token.ts";

/**
 * Questions to running services, asked after a start. Each waits until the answer is good or its time is up, and then
 * gives undefined or the reason as text. They never change anything.
 */
export interface Probes {
  /** the store answers a read of its newest table */
  store(spec: NodeSpec): Promise<string | undefined>;
  /** the agent has compared the store with its engine */
  agent(): Promise<string | undefined>;
  /** jiji-dns answers on the server's own address */
  dns(spec: NodeSpec): Promise<string | undefined>;
}

const STORE_WAIT_MS = 60_000;
const AGENT_WAIT_MS = 60_000;
const DNS_WAIT_MS = 20_000;
const PAUSE_MS = 100;
const ATTEMPT_MS = 3000;

/** Asks the real services of this server. */
export function serviceProbes(host: Host): Probes {
  const until = (waitMs: number, attempt: () => Promise<string | undefined>): Promise<string | undefined> =>
    waitFor(host, waitMs, attempt);
  return {
    store: (spec) => until(STORE_WAIT_MS, () => askStore(host, spec)),
    agent: () => until(AGENT_WAIT_MS, askAgent),
    dns: (spec) => until(DNS_WAIT_MS, () => askDns(spec)),
  };
}

async function waitFor(
  { clock }: Host,
  waitMs: number,
  attempt: () => Promise<string | undefined>,
): Promise<string | undefined> {
  const end = clock.monotonicMs() + waitMs;
  for (;;) {
    const why = await attempt();
    if (why === undefined) return undefined;
    if (clock.monotonicMs() >= end) return `${why} (waited ${waitMs / 1000} s)`;
    await clock.sleep(PAUSE_MS);
  }
}

/**
 * A read of the newest table. The store listens before it has read its schema, and goes on without one that it refuses,
 * so nothing less tells that it can be used.
 */
async function askStore(host: Host, spec: NodeSpec): Promise<string | undefined> {
  const { url, tokenFile } = storeOf(spec);
  const token = await loadToken(host.files, tokenFile);
  if (token.state !== "found") return `${tokenFile} ${token.state === "absent" ? "is not there" : token.why}`;
  const parsed = parseStoreUrl(url);
  if (parsed === undefined) return `${url} is no address of a store`;
  const client = openStoreClient({ url: parsed, token: token.value });
  try {
    await client.query({ sql: "SELECT 1 FROM containers LIMIT 1" }, { signal: AbortSignal.timeout(ATTEMPT_MS) });
    return undefined;
  } catch (error) {
    return `the store does not answer: ${messageOf(error)}`;
  } finally {
    client.close();
  }
}

async function askAgent(): Promise<string | undefined> {
  const state = await readAgentState(PATHS.agentSocket, ATTEMPT_MS);
  if (state.state === "absent") return "the agent does not listen yet";
  if (state.state === "unknown") return state.why;
  return state.value.ready ? undefined : "the agent has not yet compared the store with the engine";
}

async function askDns(spec: NodeSpec): Promise<string | undefined> {
  const address = serverAddress(spec.cluster.cidr, spec.subnet);
  const server = { address, port: PORTS.dns };
  for (const transport of ["udp", "tcp"] as const) {
    if ((await askForSoa(server, transport, 1000)) === undefined)
      return `no answer from ${address}:53 over ${transport}`;
  }
  return undefined;
}
