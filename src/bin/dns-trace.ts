import type { CliContext } from "../cli/context.ts";
import { EXIT, type ExitCode } from "../cli/exit-codes.ts";
import { Output } from "../cli/output.ts";
import { renderTrace } from "../cli/names/trace-text.ts";
import { askDns } from "../dns/operation/control-client.ts";
import type { TraceAnswer } from "../dns/operation/control-protocol.ts";
import { loadStoredTable } from "../dns/feed/stored-table.ts";
import { traceName } from "../dns/operation/trace.ts";
import { parseClusterCidr } from "../model/cluster.ts";
import { JijiError } from "../model/errors.ts";
import { parseServerId } from "../model/keys.ts";
import { showJson } from "../model/shown-text.ts";
import { openStoreClient } from "../store/client.ts";
import { parseStoreUrl } from "../store/store-url.ts";
import { StoreError } from "../store/store.ts";
import { readAgentState } from "../system/agent-client.ts";
import { systemClock } from "../system/clock.ts";
import { loadTokenFile } from "./service-files.ts";

/** Options of `jiji dns trace`, as the command line gives them. */
export interface DnsTraceOptions {
  readonly controlSocket: string;
  readonly store?: string;
  readonly tokenFile?: string;
  readonly agentSocket?: string;
  readonly self?: string;
  readonly cidr: string;
  readonly ttl: string;
  readonly json?: true;
}

const AGENT_MS = 3_000;

/** `jiji dns trace NAME`: why a name has the answer it has, from the running jiji-dns or from a store alone. */
export async function dnsTrace(context: CliContext, name: string, options: DnsTraceOptions): Promise<ExitCode> {
  if (name === "" || name.length > 253) throw new JijiError("usage", "a name has 1 to 253 characters");
  const output = new Output(context, context.env, "normal");
  const told =
    options.store === undefined
      ? await askDns(options.controlSocket, { type: "trace", name })
      : await traceFromStore(options.store, name, options);
  const answer = showJson(told) as TraceAnswer;
  if (options.json === true) output.json(EXIT.ok, answer);
  else output.data(renderTrace(answer, output.colors));
  return EXIT.ok;
}

async function traceFromStore(store: string, name: string, options: DnsTraceOptions): Promise<TraceAnswer> {
  const url = parseStoreUrl(store);
  const cluster = parseClusterCidr(options.cidr);
  const self = options.self === undefined ? undefined : parseServerId(options.self);
  const ttlSeconds = Number(options.ttl);
  if (url === undefined) throw wrong(`--store ${store}`, "give http://ADDRESS:PORT or unix:/path");
  if (cluster === undefined) throw wrong(`--cidr ${options.cidr}`, "for example --cidr 10.210.0.0/16");
  if (options.self !== undefined && self === undefined) throw wrong(`--self ${options.self}`, "give a server's id");
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 0) throw wrong(`--ttl ${options.ttl}`, "give seconds");
  const agent = options.agentSocket === undefined ? undefined : await readAgentState(options.agentSocket, AGENT_MS);
  if (agent !== undefined && agent.state !== "found") {
    const why = agent.state === "unknown" ? agent.why : `nobody listens at ${options.agentSocket ?? ""}`;
    throw new JijiError("remote", `the agent could not be asked: ${why}`, { hint: "systemctl status jiji-agent" });
  }
  const token = options.tokenFile === undefined ? undefined : loadTokenFile(options.tokenFile);
  const client = openStoreClient({ url, token });
  try {
    const given = { store: client, clock: systemClock, cluster, self, agent: agent?.value, ttlSeconds };
    const table = await loadStoredTable(given);
    const { zone } = table;
    const { ready = true, unreachable = [] } = agent?.value ?? {};
    return {
      type: "trace",
      view: {
        server: zone.servers.find(({ id }) => id === zone.self)?.name ?? null,
        source: "store",
        store: { connected: true, ageSeconds: 0, why: "", resyncs: 0 },
        agent: agent === undefined ? null : { silent: false, ready, unreachable: [...unreachable] },
      },
      trace: traceName(table, name),
      resolvers: [],
    };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new JijiError("remote", `the store at ${url} could not be read: ${error.message}`, {
      hint: error.status === 401 ? "give its token with --token-file" : "is it running? --token-file gives its token",
      cause: error,
    });
  } finally {
    client.close();
  }
}

function wrong(what: string, hint: string): JijiError {
  return new JijiError("usage", `${what}: that cannot be used`, { hint });
}
