import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Counter, Gauge, Registry } from "prom-client";
import type { Clock } from "../../system/host.ts";
import { COUNTERS, LATENCY_BOUNDS, type CounterName, type Counters } from "../telemetry/counters.ts";
import type { StatusReport } from "./status-report.ts";

/** The address may come up after this program does. */
const LISTEN_AGAIN_MS = 2_000;

export interface MetricsService {
  /** Resolves when listening was tried once. */
  readonly tried: Promise<void>;
  close(): Promise<void>;
}

const QUESTION_TYPES: Partial<Record<CounterName, string>> = {
  questionsA: "A",
  questionsAaaa: "AAAA",
  questionsPtr: "PTR",
  questionsSrv: "SRV",
  questionsTxt: "TXT",
  questionsSoa: "SOA",
  questionsNs: "NS",
  questionsAny: "ANY",
  questionsOther: "other",
};

const RCODES: Partial<Record<CounterName, string>> = {
  answersNoerror: "NOERROR",
  answersFormerr: "FORMERR",
  answersServfail: "SERVFAIL",
  answersNxdomain: "NXDOMAIN",
  answersNotimp: "NOTIMP",
  answersRefused: "REFUSED",
  answersBadvers: "BADVERS",
  answersOther: "other",
};

const DROPS: Partial<Record<CounterName, string>> = {
  droppedStranger: "stranger",
  droppedNoQuestion: "no question",
  droppedTooLong: "too long",
  droppedBusy: "busy",
  droppedRate: "rate",
  sendErrors: "not sent",
};

/**
 * Serves `/metrics` for Prometheus. The counters are read when they are asked for, so counting costs nothing more.
 * Goes on trying when the address is not there yet.
 */
export function startMetrics(
  listen: string,
  report: StatusReport,
  own: Counters,
  clock: Clock,
  onListening: (where: { readonly host: string; readonly port: number }) => void,
): MetricsService {
  const registry = metricsRegistry(report, own);
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

/** All counters of the server's threads together. */
function total(report: StatusReport, own: Counters, name: CounterName): number {
  const loops = report.sockets?.loops ?? [];
  return loops.reduce((sum, { counters }) => sum + counters.get(name), own.get(name));
}

type Metric = readonly [name: string, help: string, value: (report: StatusReport, own: Counters) => number];

const GAUGES: readonly Metric[] = [
  ["rows", "Rows of containers that count", ({ zone }) => zone.rowCount],
  ["names", "Published names", ({ zone }) => zone.claims.labelCount],
  ["servers", "Members of the mesh", ({ zone }) => zone.servers.length],
  ["table_bytes", "Octets of records in the table", ({ table }) => table.usedBytes],
  ["store_connected", "1 while the store is in step", (report) => (report.status().store.connected ? 1 : 0)],
  ["store_age_seconds", "Since the store was in step; -1: never", (report) => report.status().store.ageSeconds ?? -1],
  ["agent_silent", "1 while the agent says nothing", (report) => (report.status().agent?.silent === true ? 1 : 0)],
  [
    "tcp_connections",
    "Open TCP connections",
    ({ sockets }) => sumOf(sockets?.services, ({ connections }) => connections),
  ],
  ["rows_ignored", "Rows of strangers, or with an address that is not their owner's", (report) => report.ignoredRows()],
  ["forwards_in_flight", "Questions that resolvers are asked now", ({ forwarder }) => forwarder?.counts.inFlight ?? 0],
];

const COUNTS: readonly Metric[] = [
  ["resyncs_total", "Whole snapshots of the store", (report) => report.status().store.resyncs],
  ["tables_total", "Tables written whole", ({ table }) => table.tables],
  [
    "tcp_refused_total",
    "TCP connections turned away",
    ({ sockets }) => sumOf(sockets?.services, ({ refused }) => refused),
  ],
  ["forwards_total", "Questions that resolvers were asked", ({ forwarder }) => forwarder?.counts.asked ?? 0],
  ["forwards_failed_total", "Of these, without an answer", ({ forwarder }) => forwarder?.counts.failed ?? 0],
  [
    "upstream_junk_total",
    "Packets of resolvers that answer no question",
    ({ forwarder }) => forwarder?.counts.junk ?? 0,
  ],
  ["upstream_malformed_total", "Answers that cannot be read", ({ forwarder }) => forwarder?.counts.malformed ?? 0],
  ["forwards_joined_total", "Answered with an equal one's answer", ({ forwarder }) => forwarder?.counts.joined ?? 0],
  ["cache_hits_total", "Answers of resolvers that were told again", (report, own) => total(report, own, "cacheHits")],
  ["stale_answers_total", "Of these, after their time", (report, own) => total(report, own, "staleAnswers")],
  [
    "batch_seconds_total",
    "From reading packets to having sent their answers, of the batches that were measured",
    (report, own) => total(report, own, "sampledMs") / 1000,
  ],
  ["batches_measured_total", "One in 64", (report, own) => total(report, own, "sampledBatches")],
  ["forward_seconds_sum", "What resolvers' answers took", ({ forwarder }) => forwarder?.latency.sumSeconds ?? 0],
  ["forward_seconds_count", "How many there were", ({ forwarder }) => forwarder?.latency.counts.at(-1) ?? 0],
  ["rows_unreadable_total", "Records of containers that could not be read", (report) => report.unreadable()],
  [
    "faults_total",
    "Packets that could not be answered by a fault of ours",
    (report, own) => total(report, own, "faults"),
  ],
  [
    "receive_errors_total",
    "Times that the socket could not be read",
    (report, own) => total(report, own, "receiveErrors"),
  ],
  ["overload_total", "Refused, too many were under way", ({ forwarder }) => forwarder?.counts.overload ?? 0],
];

function sumOf<T>(items: readonly T[] | undefined, value: (item: T) => number): number {
  return (items ?? []).reduce((sum, item) => sum + value(item), 0);
}

function metricsRegistry(report: StatusReport, own: Counters): Registry {
  const registry = new Registry();
  for (const [name, help, value] of GAUGES) {
    registry.registerMetric(
      new Gauge({
        name: `jiji_dns_${name}`,
        help,
        registers: [],
        collect() {
          this.set(value(report, own));
        },
      }),
    );
  }
  for (const [name, help, value] of COUNTS) {
    registry.registerMetric(
      new Counter({
        name: `jiji_dns_${name}`,
        help,
        registers: [],
        collect() {
          this.reset();
          this.inc(value(report, own));
        },
      }),
    );
  }
  registry.registerMetric(labelled("questions_total", "Questions by type", "type", QUESTION_TYPES, report, own));
  registry.registerMetric(labelled("answers_total", "Answers by response code", "rcode", RCODES, report, own));
  registry.registerMetric(labelled("dropped_total", "Packets without an answer", "reason", DROPS, report, own));
  registry.registerMetric(forwardClasses(report));
  return registry;
}

/** How many forwards took at most so long. */
function forwardClasses(report: StatusReport): Counter {
  return new Counter({
    name: "jiji_dns_forward_seconds_bucket",
    help: "How many of them took at most so long",
    labelNames: ["le"],
    registers: [],
    collect() {
      this.reset();
      const counts = report.forwarder?.latency.counts;
      for (const [place, le] of [...LATENCY_BOUNDS.map(String), "+Inf"].entries())
        this.inc({ le }, counts?.[place] ?? 0);
    },
  });
}

/** A counter whose places are the counters of packets. */
function labelled(
  name: string,
  help: string,
  label: string,
  places: Partial<Record<CounterName, string>>,
  report: StatusReport,
  own: Counters,
): Counter {
  return new Counter({
    name: `jiji_dns_${name}`,
    help,
    labelNames: [label],
    registers: [],
    collect() {
      this.reset();
      for (const counter of COUNTERS) {
        const value = places[counter];
        if (value !== undefined) this.inc({ [label]: value }, total(report, own, counter));
      }
    },
  });
}
