import { startDnsServer, type DnsServer } from "../dns/server.ts";
import { openJournalLog } from "../agent/log.ts";
import { dnsSettingsSchema, type DnsSettings } from "../model/dns-settings.ts";
import { JijiError } from "../model/errors.ts";
import { openStoreClient } from "../store/client.ts";
import { parseStoreUrl } from "../store/store-url.ts";
import { systemClock } from "../system/clock.ts";
import { z } from "zod";
import { readSettings } from "./read-settings.ts";
import { readTokenFile } from "./read-token.ts";

/** The options of `jiji dns serve`: a settings file, or everything that one would say. */
export interface DnsServeOptions {
  readonly settings?: string;
  readonly listen?: string[];
  readonly store?: string;
  readonly tokenFile?: string;
  readonly agentSocket?: string;
  readonly self?: string;
  readonly cidr: string;
  readonly ttl: number;
  readonly localFirst?: boolean;
  readonly upstream?: string[];
  readonly state?: string;
  readonly metrics?: string;
  readonly control?: string;
}

/**
 * Starts jiji-dns and prints where it listens as one line of JSON when it is ready, so that port 0 can be used. SIGHUP has
 * it read its settings file again. Throws a {@link JijiError} for settings that cannot be used.
 */
export async function startDnsService(options: DnsServeOptions): Promise<DnsServer> {
  const settings = settingsOf(options);
  const url = parseStoreUrl(settings.store.url);
  if (url === undefined) {
    throw new JijiError("usage", `${settings.store.url}: not a store's address`, {
      hint: "for example http://127.0.0.1:31282 or unix:/run/jiji/agent/store.sock",
    });
  }
  const { tokenFile } = settings.store;
  const token = tokenFile === null ? undefined : readTokenFile(tokenFile);
  const log = openJournalLog((text) => process.stderr.write(text));
  const server = await startDnsServer(settings, {
    store: openStoreClient({ url, token }),
    clock: systemClock,
    log,
    // Beside this file in the sources, and under the same name inside the compiled executable.
    workerUrl: new URL("./dns-worker.ts", import.meta.url),
    environment: process.env,
    pid: process.pid,
  });
  process.on("SIGHUP", () => {
    if (options.settings === undefined) return;
    try {
      void server.reload(settingsOf(options));
    } catch (error) {
      log.warn(`the settings stay as they were: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
  const metrics = server.metrics === undefined ? {} : { metrics: `${server.metrics.host}:${server.metrics.port}` };
  const listening = server.listening.map(({ host, port, protocol }) => ({ address: `${host}:${port}`, protocol }));
  process.stdout.write(`${JSON.stringify({ listening, ...metrics })}\n`);
  return server;
}

function settingsOf(options: DnsServeOptions): DnsSettings {
  if (options.settings !== undefined) return readSettings(options.settings, dnsSettingsSchema);
  if (options.listen === undefined || options.store === undefined) {
    throw new JijiError("usage", "jiji dns serve needs --settings, or --listen and --store", {
      hint: "for example --listen 127.0.0.1:5300 --store http://127.0.0.1:31282",
    });
  }
  const parsed = dnsSettingsSchema.safeParse({
    version: 1,
    listen: options.listen,
    store: { url: options.store, tokenFile: options.tokenFile ?? null },
    agentSocket: options.agentSocket ?? null,
    self: options.self ?? null,
    clusterCidr: options.cidr,
    ttlSeconds: options.ttl,
    localFirst: options.localFirst ?? false,
    upstreams: options.upstream ?? [],
    stateFile: options.state ?? null,
    metrics: options.metrics ?? null,
    controlSocket: options.control ?? null,
  } satisfies z.input<typeof dnsSettingsSchema>);
  if (parsed.success) return parsed.data;
  throw new JijiError("usage", z.prettifyError(parsed.error), { hint: "jiji dns serve --help" });
}
