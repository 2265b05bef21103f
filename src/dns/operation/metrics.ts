import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Counter, Gauge, Registry } from "prom-client";
import type { Clock } from "../../system/host.ts";
import { COUNTER, COUNTERS, LATENCY_BOUNDS, type CounterName } from "../telemetry/counters.ts";
import type { StatusReport } from "./status-report.ts";

/** The address may come up after this program does. */
const LISTEN_AGAIN_MS = 2_000;

export interface MetricsService {
  /** Resolves when listening was tried once. */
  readonly tried: Promise<void>;
  close(): Promise<void>;
}

/** Labels of neighbouring counters, in their order. */
const QUESTION_TYPES = ["A", "AAAA", "PTR", "SRV", "TXT", "SOA", "NS", "ANY", "other"];
const RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "BADVERS", "other"];
const DROPS = ["stranger", "no question", "too long", "busy", "rate"];

/**
 * Serves `/metrics` for Prometheus. The counters are read when they are asked for, so counting costs nothing more.
 * Goes on trying when the address is not there yet.
 */
export function startMetrics(
  listen: string,
  report: StatusReport,
  clock: Clock,
  onListening: (where: { readonly host: string; readonly port: number }) => void,
): MetricsService {
  const registry = metricsRegistry(report);
  const server = createServer((request, response) => {
    if (request.url !== "/metrics" || request.method !== "GET") {
      response.writeHead(404).end();
      return;
    }
    void registry.metrics().then((text) => response.writeHead(200, { "content-type": registry.contentType }).end(text));
  });
  const stop = new AbortController();
  const [host = "", port] = listen.split(":");
  const tried = Promise.withResolvers<void>();
  const listening = listenUntil(server, host, Number(port), clock, stop.signal, tried.resolve).then(() => {
    const address = server.address() as AddressInfo | null;
    if (address !== null) onListening({ host: address.address, port: address.port });
  });
  return {
    tried: tried.promise,
    close: async () => {
      stop.abort();
      await listening;
      server.closeAllConnections();
      if (server.listening) await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function listenUntil(
  server: Server,
  host: string,
  port: number,
  clock: Clock,
  signal: AbortSignal,
  onTried: () => void,
): Promise<void> {
  while (!signal.aborted) {
    const isListening = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.once("listening", () => resolve(true));
      server.listen({ host, port });
    });
    server.removeAllListeners("error");
    server.removeAllListeners("listening");
    onTried();
    if (isListening) return;
    await clock.sleep(LISTEN_AGAIN_MS, signal).catch(() => undefined);
  }
}

type Metric = readonly [name: string, help: string, value: (report: StatusReport) => number];

const GAUGES: readonly Metric[] = [
  ["rows", "Rows of containers that count", ({ zone }) => zone.rowCount],
  ["names", "Published names", ({ zone }) => zone.claims.labelCount],
  ["servers", "Members of the mesh", ({ zone }) => zone.servers.length],
  ["table_bytes", "Octets of records in the table", ({ table }) => table.usedBytes],
  ["store_connected", "1 while the store is in step", ({ mesh }) => Number(mesh.store.connected)],
  ["store_age_seconds", "Since the store was in step; -1: never", ({ mesh }) => mesh.store.ageSeconds ?? -1],
  ["agent_silent", "1 while the agent says nothing", ({ mesh }) => Number(mesh.agent?.silent === true)],
  ["tcp_connections", "Open TCP connections", ({ services }) => sumOf(services, ({ connections }) => connections)],
  ["rows_ignored", "Rows of strangers, or with an address that is not their owner's", (report) => report.ignoredRows()],
  ["forwards_in_flight", "Questions that resolvers are asked now", ({ forwards }) => forwards.inFlight],
];

const COUNTS: readonly Metric[] = [
  ["resyncs_total", "Whole snapshots of the store", ({ mesh }) => mesh.store.resyncs],
  ["tables_total", "Tables written whole", ({ table }) => table.tables],
  ["tcp_refused_total", "TCP connections turned away", ({ services }) => sumOf(services, ({ refused }) => refused)],
  ["forwards_total", "Questions that resolvers were asked", ({ forwards }) => forwards.asked],
  ["forwards_failed_total", "Of these, without an answer", ({ forwards }) => forwards.failed],
  ["upstream_junk_total", "Packets of resolvers that answer no question", ({ forwards }) => forwards.junk],
  ["upstream_malformed_total", "Answers that cannot be read", ({ forwards }) => forwards.malformed],
  ["forwards_joined_total", "Answered with an equal one's answer", ({ forwards }) => forwards.joined],
  ["cache_hits_total", "Answers of resolvers that were told again", (report) => report.count("cacheHits")],
  ["stale_answers_total", "Of these, after their time", (report) => report.count("staleAnswers")],
  [
    "batch_seconds_total",
    "From reading packets to having sent their answers, of the batches that were measured",
    (report) => report.count("sampledMs") / 1000,
  ],
  ["batches_measured_total", "One in 64", (report) => report.count("sampledBatches")],
  ["forward_seconds_sum", "What resolvers' answers took", ({ latency }) => latency.sumSeconds],
  ["forward_seconds_count", "How many there were", ({ latency }) => latency.counts.at(-1) ?? 0],
  ["rows_unreadable_total", "Records of containers that could not be read", ({ mesh }) => mesh.unreadable],
  ["faults_total", "Packets that could not be answered by a fault of ours", (report) => report.count("faults")],
  ["receive_errors_total", "Times that the socket could not be read", (report) => report.count("receiveErrors")],
  ["overload_total", "Refused, too many were under way", ({ forwards }) => forwards.overload],
];

function sumOf<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0);
}

function metricsRegistry(report: StatusReport): Registry {
  const registry = new Registry();
  for (const [Kind, metrics] of [
    [Gauge, GAUGES],
    [Counter, COUNTS],
  ] as const) {
    for (const [name, help, value] of metrics) {
      const collect = function (this: Gauge | Counter): void {
        this.reset();
        this.inc(value(report));
      };
      registry.registerMetric(new Kind({ name: `jiji_dns_${name}`, help, registers: [], collect }));
    }
  }
  const counted = (first: CounterName, labels: readonly string[]) => (): Iterable<readonly [string, number]> =>
    labels.map((label, place) => [label, report.count(COUNTERS[COUNTER[first] + place] as CounterName)] as const);
  const dropped = counted("droppedStranger", DROPS);
  registry.registerMetric(
    labelled("questions_total", "Questions by type", "type", counted("questionsA", QUESTION_TYPES)),
  );
  registry.registerMetric(
    labelled("answers_total", "Answers by response code", "rcode", counted("answersNoerror", RCODES)),
  );
  registry.registerMetric(
    labelled("dropped_total", "Packets without an answer", "reason", () => [
      ...dropped(),
      ["not sent", report.count("sendErrors")],
    ]),
  );
  const classes = [...LATENCY_BOUNDS.map(String), "+Inf"];
  registry.registerMetric(
    labelled("forward_seconds_bucket", "How many of them took no longer than this", "le", () =>
      classes.map((le, place) => [le, report.latency.counts[place] ?? 0] as const),
    ),
  );
  return registry;
}

/** A counter with one label. */
function labelled(
  name: string,
  help: string,
  label: string,
  values: () => Iterable<readonly [value: string, count: number]>,
): Counter {
  return new Counter({
    name: `jiji_dns_${name}`,
    help,
    labelNames: [label],
    registers: [],
    collect() {
      this.reset();
      for (const [value, count] of values()) this.inc({ [label]: value }, count);
    },
  });
}
