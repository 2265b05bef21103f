import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { endpointOf, splitHostPort, type Endpoint } from "../../model/address.ts";
import type { Clock } from "../../system/host.ts";

export interface ResolversOptions {
  /** resolvers from the settings; empty: the system's */
  readonly configured: readonly Endpoint[];
  /** where this server itself listens: asking there would be asking itself */
  readonly own: readonly { readonly host: string; readonly port: number }[];
  readonly clock: Clock;
  readonly resolvConf?: string;
  /** where systemd-resolved writes the resolvers that it asks itself */
  readonly resolvedConf?: string;
  /** Called when the system's resolvers are others than before. */
  readonly onChange?: () => void;
}

const DNS_PORT = 53;

/** The files are looked at again this often while questions are forwarded. */
const LOOK_MS = 2_000;

/** systemd-resolved's own listeners (systemd-resolved.service(8)). It may ask this server, so this server must not ask it. */
const STUBS: ReadonlySet<string> = new Set(["127.0.0.53", "127.0.0.54"]);

/** Which resolvers to ask: those of the settings, or the system's, looked up again when their files change. */
export class Resolvers {
  readonly #options: ResolversOptions;
  #known: readonly Endpoint[] = [];
  #lookedMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(options: ResolversOptions) {
    this.#options = options;
  }

  /** Best first; empty when there are none. What was known is kept while the files cannot be read. */
  async list(): Promise<readonly Endpoint[]> {
    const { configured, clock } = this.#options;
    if (configured.length > 0) return this.#withoutOwn(configured);
    if (clock.monotonicMs() - this.#lookedMs >= LOOK_MS) {
      const isFirst = this.#lookedMs === Number.NEGATIVE_INFINITY;
      this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
      if (isFirst) await this.#looking;
    }
    return this.#known;
  }

  async #look(): Promise<void> {
    const { clock, resolvConf = "/etc/resolv.conf", resolvedConf = "/run/systemd/resolve/resolv.conf" } = this.#options;
    this.#lookedMs = clock.monotonicMs();
    try {
      let found = parseResolvConf(await readFile(resolvConf, "utf8"));
      if (found.some(isStub)) {
        const behind = await readFile(resolvedConf, "utf8").then(parseResolvConf, () => []);
        found = [...new Set([...found.filter((endpoint) => !isStub(endpoint)), ...behind])];
      }
      const before = this.#known;
      this.#known = this.#withoutOwn(found.filter((endpoint) => !isStub(endpoint)));
      if (before.length > 0 && before.join(" ") !== this.#known.join(" ")) this.#options.onChange?.();
    } catch {
      // A file that is being replaced: what was known still holds.
    }
  }

  #withoutOwn(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    const { own } = this.#options;
    const exact = new Set(own.map(({ host, port }) => `${host}:${port}`));
    const everywhere = new Set(own.filter(({ host }) => host === "0.0.0.0").map(({ port }) => port));
    return endpoints.filter((endpoint) => {
      const { host, port } = splitHostPort(endpoint) ?? { host: "", port: 0 };
      return !exact.has(endpoint) && !(everywhere.has(port) && isThisMachine(host));
    });
  }
}

function isThisMachine(host: string): boolean {
  if (host.startsWith("127.")) return true;
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === host.split("%")[0]),
  );
}

function isStub(endpoint: Endpoint): boolean {
  return STUBS.has(splitHostPort(endpoint)?.host ?? "");
}

/**
 * Addresses of resolvers in a resolv.conf's text, in order, each once (resolv.conf(5)). A link-local one keeps its zone
 * (RFC 4007 §11), since without it nobody knows which link is meant.
 */
export function parseResolvConf(text: string): readonly Endpoint[] {
  const servers = new Set<Endpoint>();
  for (const line of text.split("\n")) {
    const [, address = "", zone = ""] = /^\s*nameserver\s+([0-9A-Fa-f:.]+)(%[\w.-]{1,15})?(?:\s|$)/.exec(line) ?? [];
    const endpoint = endpointOf(address, DNS_PORT);
    if (endpoint === undefined || (zone !== "" && !address.includes(":"))) continue;
    servers.add(endpoint.replace("]", `${zone}]`) as Endpoint);
  }
  return [...servers];
}
