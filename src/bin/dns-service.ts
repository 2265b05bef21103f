import { splitHostPort } from "../model/address.ts";
import { dnsSettingsSchema, type DnsSettings } from "../model/dns-settings.ts";
import { JijiError } from "../model/errors.ts";
import { startDnsServer, type DnsServer } from "../dns/server.ts";
import { OWN_THREADS } from "../system/thread-priority.ts";
import { releaseStartPages } from "../system/start-pages.ts";
import { openStoreClient } from "../store/client.ts";
import { parseStoreUrl } from "../store/store-url.ts";
import { systemClock } from "../system/clock.ts";
import { loadSettings, loadTokenFile } from "./service-files.ts";

/** Options of `jiji dns serve`, as the command line gives them; either a settings file or the rest. */
export interface DnsServeOptions {
  readonly settings?: string;
  readonly listen?: readonly string[];
  readonly store?: string;
  readonly tokenFile?: string;
  readonly agentSocket?: string;
  readonly self?: string;
  readonly cidr: string;
  readonly ttl: string;
  readonly localFirst?: true;
  readonly upstream?: readonly string[];
  readonly state?: string;
  readonly metrics?: string;
  readonly controlSocket?: string;
}

/**
 * Starts jiji-dns from a settings file, which SIGHUP reads again, or from options. Where it listens is printed as one line
 * of JSON when it is ready, so that port 0 can be used. Throws a {@link JijiError} for what cannot be used.
 */
export async function startDnsService(options: DnsServeOptions): Promise<DnsServer> {
  const read = (): DnsSettings =>
    options.settings === undefined ? settingsOf(options) : loadSettings(options.settings, dnsSettingsSchema);
  const settings = read();
  const url = parseStoreUrl(settings.store.url);
  if (url === undefined) {
    throw new JijiError("usage", `${settings.store.url} is no address of a store`, {
      hint: "give http://ADDRESS:PORT or unix:/path",
    });
  }
  const { tokenFile } = settings.store;
  const log = (text: string): void => void process.stderr.write(`${text}\n`);
  const server = await startDnsServer(settings, {
    store: openStoreClient({ url, token: tokenFile === null ? undefined : loadTokenFile(tokenFile) }),
    clock: systemClock,
    log: { info: log, warn: log },
    workerUrl: process.platform === "linux" ? new URL("./dns-worker.ts", import.meta.url) : undefined,
    environment: process.env,
    pid: process.pid,
    ...(process.platform === "linux" && { releaseMemory: releaseStartPages, threads: OWN_THREADS }),
  });
  process.on("SIGHUP", () => {
    // A file that cannot be read must not end a running server.
    void Promise.resolve()
      .then(() => server.reload(read()))
      .catch((error: unknown) => log(`settings were not taken over: ${String(error)}`));
  });
  process.stdout.write(`${JSON.stringify({ listening: server.listening, metrics: server.metrics ?? null })}\n`);
  return server;
}

function settingsOf(options: DnsServeOptions): DnsSettings {
  if (options.listen === undefined || options.store === undefined) {
    throw new JijiError("usage", "jiji dns serve needs --listen and --store, or --settings", {
      hint: "for example --listen 127.0.0.1:5353 --store http://127.0.0.1:31220",
    });
  }
  const parsed = dnsSettingsSchema.safeParse({
    version: 1,
    listen: options.listen,
    store: { url: options.store, tokenFile: options.tokenFile ?? null },
    agentSocket: options.agentSocket ?? null,
    self: options.self ?? null,
    clusterCidr: options.cidr,
    ttlSeconds: Number(options.ttl),
    localFirst: options.localFirst === true,
    upstreams: (options.upstream ?? []).map(withPort),
    stateFile: options.state ?? null,
    metrics: options.metrics ?? null,
    controlSocket: options.controlSocket ?? null,
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new JijiError("usage", `jiji dns serve: ${issue?.path.join(".")}: ${issue?.message}`, {
    hint: "jiji dns serve --help says what each option takes",
  });
}

function withPort(text: string): string {
  return splitHostPort(text) === undefined ? `${text}:53` : text;
}
