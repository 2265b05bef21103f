import { z } from "zod";
import { failed, ok, type FakeHost, type FakeProgram } from "./fake-host.ts";

interface Peer {
  endpoint: string | null;
  allowedIps: string;
  keepalive: string;
}

interface Filter {
  policies: Record<string, string>;
  chains: Map<string, string[]>;
}

type Result = ReturnType<typeof ok>;

const RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports";
const CONFIG = "/etc/wireguard/jiji0.conf";

/**
 * The part of a Linux server that network kinds touch: links, routes, rules, WireGuard, nftables and iptables. It knows
 * just the commands that they use, and throws at any other.
 */
export class FakeNetwork {
  readonly host: FakeHost;
  /** jiji0, when it is there */
  tunnel: { addresses: Set<string>; mtu: number; port: number; hasKey: boolean; peers: Map<string, Peer> } | null =
    null;
  readonly routes = new Map<string, Record<string, unknown>>();
  readonly rules = new Map<number, string>();
  /** our nftables tables as loaded, by family */
  readonly tables = new Map<string, string>();
  /** families of tables that the kernel has */
  families: readonly string[] = ["inet", "bridge"];
  readonly filters: Record<4 | 6, Filter>;

  constructor(host: FakeHost, filter: string) {
    this.host = host;
    this.filters = { 4: parseFilter(filter), 6: parseFilter("") };
    host.put(RESERVED, "\n");
    const programs: Record<string, FakeProgram> = {
      ip: (args) => this.#ip(args),
      wg: (args) => this.#wg(args),
      nft: (args, input) => this.#nft(args, input),
      tee: (args, input) => this.#tee(args[0] ?? "", input),
      unshare: (args, input) => this.#unshare(args, input),
      iptables: (args) => this.#iptables(4, args),
      ip6tables: (args) => this.#iptables(6, args),
      "iptables-save": (args) => this.#save(4, args),
      "ip6tables-save": (args) => this.#save(6, args),
      "iptables-restore": (_, input) => this.#restore(4, input),
      "ip6tables-restore": (_, input) => this.#restore(6, input),
    };
    for (const [name, program] of Object.entries(programs)) host.table.set(name, program);
  }

  /** Everything as one text. */
  snapshot(): string {
    const filters = ([4, 6] as const).map((family) => this.#save(family, ["-t"]).stdout);
    const tunnel = this.tunnel === null ? null : { ...this.tunnel, addresses: [...this.tunnel.addresses] };
    const peers = [...(this.tunnel?.peers ?? [])].sort(byKey);
    return JSON.stringify(
      {
        tunnel: { ...tunnel, peers },
        routes: [...this.routes].sort(byKey),
        rules: [...this.rules].sort(byKey),
        tables: [...this.tables].toSorted(([a], [b]) => (a < b ? -1 : 1)),
        filters,
      },
      null,
      1,
    );
  }

  /** What wg-quick does with the configuration as it stands on disk. */
  wgQuickUp(): Result {
    if (this.tunnel !== null) return failed("wg-quick: `jiji0' already exists");
    const sections = this.host.text(CONFIG).split(/^\[Peer\]$/m);
    const value = (text: string, key: string): string | undefined => new RegExp(`^${key} = (.*)$`, "m").exec(text)?.[1];
    const [head = "", ...peers] = sections;
    this.tunnel = {
      addresses: new Set([value(head, "Address") ?? ""]),
      mtu: Number(value(head, "MTU")),
      port: Number(value(head, "ListenPort")),
      hasKey: this.host.entries.has("/etc/wireguard/jiji0.key"),
      peers: new Map(
        peers.map((text) => [
          value(text, "PublicKey") ?? "",
          {
            endpoint: value(text, "Endpoint") ?? null,
            allowedIps: value(text, "AllowedIPs") ?? "",
            keepalive: value(text, "PersistentKeepalive") ?? "off",
          },
        ]),
      ),
    };
    for (const [, dst = ""] of head.matchAll(/^PostUp = ip -4 route replace (\S+) dev %i$/gm)) this.#route(dst);
    return ok();
  }

  removeTunnel(): Result {
    this.tunnel = null;
    for (const [dst, route] of this.routes) if (route["dev"] === "jiji0") this.routes.delete(dst);
    return ok();
  }

  #route(dst: string): void {
    this.routes.set(dst, { dst, dev: "jiji0", scope: "link", flags: [] });
  }

  #ip(args: readonly string[]): Result {
    const line = args.join(" ");
    const words = /^(?:-4 )?(\S+) (\S+) ?(.*)$/.exec(line.replace(/^-j (?:-4 )?/, "-4 "));
    const [, object, verb, rest = ""] = words ?? [];
    switch (`${object} ${verb}`) {
      case "addr show":
        return ok(JSON.stringify(this.#links()));
      case "route show":
        return ok(JSON.stringify([...this.routes.values()]));
      case "rule show":
        return ok(`0:\tfrom all lookup local\n${[...this.rules].map(([n, text]) => `${n}:\t${text}\n`).join("")}`);
      case "route replace":
        return this.#replaceRoute(rest);
      case "route del":
        this.routes.delete(rest.split(" ")[1] ?? "");
        return ok();
      case "rule add":
        return this.#addRule(rest);
      case "rule del":
        return this.rules.delete(Number(rest.replace("pref ", ""))) ? ok() : failed("no such rule", 2);
      case "addr replace":
        this.tunnel?.addresses.add(rest.split(" ")[0] ?? "");
        return ok();
      case "link set":
        if (this.tunnel !== null) this.tunnel.mtu = Number(/mtu ([0-9]+)/.exec(rest)?.[1]);
        return ok();
      case "link delete":
        return this.removeTunnel();
      default:
        throw new Error(`ip ${line}`);
    }
  }

  #links(): unknown[] {
    const { tunnel } = this;
    const link = (ifname: string, mtu: number, addresses: readonly string[]): unknown => ({
      ifname,
      mtu,
      flags: ["UP"],
      addr_info: addresses.map((text) => {
        const [local, prefix] = text.split("/");
        return { family: "inet", local, prefixlen: Number(prefix) };
      }),
    });
    return [
      link("eth0", 1500, ["198.51.100.1/24"]),
      ...(tunnel === null ? [] : [link("jiji0", tunnel.mtu, [...tunnel.addresses])]),
    ];
  }

  #replaceRoute(rest: string): Result {
    const match = /^unreachable (\S+) metric ([0-9]+) proto kernel$/.exec(rest);
    if (match !== null) {
      const dst = match[1] ?? "";
      this.routes.set(dst, { type: "unreachable", dst, metric: Number(match[2]), protocol: "kernel", flags: [] });
      return ok();
    }
    if (this.tunnel === null) return failed('Cannot find device "jiji0"');
    this.#route(rest.split(" ")[0] ?? "");
    return ok();
  }

  #addRule(rest: string): Result {
    const match = /^pref ([0-9]+) (to .*) protocol kernel$/.exec(rest);
    if (match === null) throw new Error(`ip rule add ${rest}`);
    if (this.rules.has(Number(match[1]))) return failed("RTNETLINK answers: File exists", 2);
    this.rules.set(Number(match[1]), `from all ${match[2]}`);
    return ok();
  }

  #wg(args: readonly string[]): Result {
    const { tunnel } = this;
    if (args[0] === "--version") return ok("wireguard-tools v1\n");
    if (tunnel === null) return failed("Unable to access interface: No such device");
    if (args[0] === "set") return this.#wgSet(tunnel, args.slice(2));
    const perPeer = (value: (peer: Peer) => string): Result =>
      ok([...tunnel.peers].map(([key, peer]) => `${key}\t${value(peer)}\n`).join(""));
    switch (args[2]) {
      case "public-key":
        return ok(`${tunnel.hasKey ? this.publicKey() : "(none)"}\n`);
      case "listen-port":
        return ok(`${tunnel.port}\n`);
      case "peers":
        return ok([...tunnel.peers.keys()].map((key) => `${key}\n`).join(""));
      case "endpoints":
        return perPeer(({ endpoint }) => endpoint ?? "(none)");
      case "allowed-ips":
        return perPeer(({ allowedIps }) => allowedIps || "(none)");
      case "latest-handshakes":
        return perPeer(() => "0");
      case "persistent-keepalive":
        return perPeer(({ keepalive }) => keepalive);
      default:
        throw new Error(`wg ${args.join(" ")}`);
    }
  }

  /** The test puts the public half beside the private one, so that no key has to be worked out here. */
  publicKey(): string {
    return this.host.text("/test/public-key").trim();
  }

  #wgSet(tunnel: NonNullable<FakeNetwork["tunnel"]>, args: readonly string[]): Result {
    const value = (name: string): string | undefined => {
      const at = args.indexOf(name);
      return at < 0 ? undefined : args[at + 1];
    };
    if (value("private-key") !== undefined) tunnel.hasKey = true;
    if (value("listen-port") !== undefined) tunnel.port = Number(value("listen-port"));
    const key = value("peer");
    if (key === undefined) return ok();
    const peer = tunnel.peers.get(key) ?? { endpoint: null, allowedIps: "", keepalive: "off" };
    const allowedIps = value("allowed-ips") ?? peer.allowedIps;
    for (const other of tunnel.peers.values())
      if (other !== peer && other.allowedIps === allowedIps) other.allowedIps = "";
    const keepalive = value("persistent-keepalive");
    tunnel.peers.set(key, {
      endpoint: value("endpoint") ?? peer.endpoint,
      allowedIps,
      keepalive: keepalive === undefined ? peer.keepalive : keepalive === "0" ? "off" : keepalive,
    });
    return ok();
  }

  #nft(args: readonly string[], input: string): Result {
    const line = args.join(" ");
    if (line === "--version") return ok("nftables v1\n");
    if (line === "-j list tables") {
      const tables = [...this.tables.keys()].map((family) => ({ table: { family, name: "jiji" } }));
      return ok(JSON.stringify({ nftables: [{ metainfo: {} }, ...tables] }));
    }
    const listed = /^-s list table (\w+) jiji$/.exec(line)?.[1];
    if (listed !== undefined) {
      const text = this.tables.get(listed);
      return text === undefined ? failed("No such file") : ok(text);
    }
    const removed = line === "-f -" ? /^add table (\w+) jiji\ndelete table \1 jiji\n$/.exec(input)?.[1] : undefined;
    if (removed !== undefined) {
      this.tables.delete(removed);
      return ok();
    }
    if (args[0] !== "-f" || args[1] === "-") throw new Error(`nft ${line}`);
    const { family, text } = listing(this.host.text(args[1] ?? ""));
    if (!this.families.includes(family)) return failed("Operation not supported");
    this.tables.set(family, text);
    return ok();
  }

  #unshare(args: readonly string[], input: string): Promise<Result> | Result {
    const [net, program, ...rest] = args;
    if (net !== "--net") throw new Error(`unshare ${args.join(" ")}`);
    const tried = program === "nft" ? /^add table (\w+) /.exec(rest[0] ?? "")?.[1] : undefined;
    if (program === "sh" || tried !== undefined) {
      const { family, text } = tried === undefined ? listing(input) : { family: tried, text: "" };
      return this.families.includes(family) ? ok(text) : failed("Operation not supported");
    }
    return this.host.run([program ?? "", ...rest]);
  }

  #tee(path: string, input: string): Result {
    this.host.put(path, input);
    return ok(input);
  }

  #save(family: 4 | 6, args: readonly string[]): Result {
    if (args[0] === "--version") return ok("iptables v1\n");
    const { policies, chains } = this.filters[family];
    if (chains.size === 0) return ok();
    const heads = [...chains.keys()].map((name) => `:${name} ${policies[name] ?? "-"} [0:0]`);
    return ok(["*filter", ...heads, ...[...chains.values()].flat(), "COMMIT", ""].join("\n"));
  }

  #restore(family: 4 | 6, input: string): Result {
    const { chains } = this.filters[family];
    for (const [, name = ""] of input.matchAll(/^:(\S+) - /gm)) chains.set(name, []);
    for (const [rule, name = ""] of input.matchAll(/^-A (\S+) .*$/gm)) chains.get(name)?.push(rule);
    return ok();
  }

  #iptables(family: 4 | 6, args: readonly string[]): Result {
    const [, , verb, chain = "", ...rest] = args;
    const { chains } = this.filters[family];
    const rules = chains.get(chain);
    if (verb === "-N") {
      if (rules !== undefined) return failed("Chain already exists");
      chains.set(chain, []);
      return ok();
    }
    if (rules === undefined) return failed("No chain/target/match by that name");
    if (verb === "-I") rules.splice(Number(rest[0]) - 1, 0, `-A ${chain} ${rest.slice(1).join(" ")}`);
    else if (verb === "-D") rules.splice(Number(rest[0]) - 1, 1);
    else if (verb === "-F") rules.length = 0;
    else if (verb === "-X" && [...chains.values()].flat().some((rule) => rule.endsWith(` -j ${chain}`)))
      return failed("Too many links");
    else if (verb === "-X") chains.delete(chain);
    else throw new Error(`iptables ${args.join(" ")}`);
    return ok();
  }
}

/** How this nft would list a ruleset: without what only the loading needs. */
function listing(rules: string): { readonly family: string; readonly text: string } {
  const [head = "", family = ""] = /^table (\w+) jiji \{/m.exec(rules) ?? [];
  return { family, text: rules.slice(rules.indexOf(head)) };
}

function parseFilter(text: string): Filter {
  const filter: Filter = { policies: {}, chains: new Map() };
  for (const line of text.split("\n")) {
    const head = /^:(\S+) (\S+)/.exec(line);
    if (head !== null) {
      filter.chains.set(head[1] ?? "", []);
      if (head[2] !== "-") filter.policies[head[1] ?? ""] = head[2] ?? "";
    }
    const rule = /^-A (\S+) /.exec(line);
    if (rule !== null) filter.chains.get(rule[1] ?? "")?.push(line);
  }
  return filter;
}

/** Docker and Podman as their commands show them: networks, attached containers, and Docker's daemon. */
export class FakeEngines {
  readonly host: FakeHost;
  readonly networks = { docker: new Map<string, string[]>(), podman: new Map<string, string[]>() };
  /** running containers on the network "jiji", by engine */
  readonly attached = { docker: new Set<string>(), podman: new Set<string>() };
  daemon: { invocation: number; running: number; liveRestore: boolean; settings: string };
  /** whether a restart has ever stopped a container */
  hasStopped = false;

  constructor(host: FakeHost, running: number) {
    this.host = host;
    this.daemon = { invocation: 1, running, liveRestore: false, settings: this.#settings() };
    host.table.set("docker", (args) => this.#docker(args));
    host.table.set("podman", (args) => this.#podman(args));
  }

  /** Of the daemon, what it gives to containers: it may have read its file while live-restore was lent to a restart. */
  snapshot(): string {
    const { running, liveRestore } = this.daemon;
    const settings = z.looseObject({}).parse(JSON.parse(this.daemon.settings || "{}"));
    const daemon = { running, liveRestore, dns: settings["dns"], searches: settings["dns-search"] };
    return JSON.stringify({ networks: [[...this.networks.docker], [...this.networks.podman]], daemon });
  }

  restartDocker(): Result {
    const settings = this.#settings();
    const object = z.record(z.string(), z.unknown()).safeParse(settings === "" ? {} : JSON.parse(settings));
    if (!object.success) return failed("configuration is malformed");
    const keeps = this.daemon.liveRestore && object.data["live-restore"] === true;
    if (this.daemon.running > 0 && !keeps) this.hasStopped = true;
    this.daemon = {
      invocation: this.daemon.invocation + 1,
      running: keeps ? this.daemon.running : 0,
      liveRestore: object.data["live-restore"] === true,
      settings,
    };
    return ok();
  }

  /** SIGHUP: only live-restore is looked at, and only when the file names it. */
  reloadDocker(): Result {
    const named = /"live-restore":\s*(true|false)/.exec(this.#settings())?.[1];
    if (named !== undefined) this.daemon.liveRestore = named === "true";
    return ok();
  }

  #settings(): string {
    const entry = this.host.entries.get("/etc/docker/daemon.json");
    return entry?.type === "file" ? entry.content.toString("utf8") : "";
  }

  #docker(args: readonly string[]): Result {
    const line = args.join(" ");
    if (line.startsWith("version")) return ok("28.5.2\n");
    if (line.startsWith("info --format {{json")) {
      return ok(
        JSON.stringify({
          ContainersRunning: this.daemon.running,
          LiveRestoreEnabled: this.daemon.liveRestore,
          Swarm: { LocalNodeState: "inactive" },
        }),
      );
    }
    if (line.startsWith("info")) return ok("28.5.2\n");
    if (line.startsWith("ps")) {
      return ok(
        [...this.attached.docker].map((id) => `${JSON.stringify({ ID: id, Names: id, State: "running" })}\n`).join(""),
      );
    }
    const options = this.networks.docker.get("jiji");
    if (line.startsWith("network ls")) return ok(options === undefined ? "" : '{"Name":"jiji","ID":"jiji"}\n');
    if (line.startsWith("network inspect")) return ok(JSON.stringify([inspected(options ?? [])]));
    return this.#change("docker", args);
  }

  #podman(args: readonly string[]): Result {
    const line = args.join(" ");
    if (line.endsWith("--help")) return ok("--interface-name");
    if (line.startsWith("ps")) {
      return ok(JSON.stringify([...this.attached.podman].map((id) => ({ Id: id, Names: [id], State: "running" }))));
    }
    if (line.startsWith("network ls")) {
      const options = this.networks.podman.get("jiji");
      if (options === undefined) return ok("[]");
      return ok(
        JSON.stringify([
          {
            name: "jiji",
            driver: "bridge",
            network_interface: after(options, "--interface-name"),
            subnets: [{ subnet: after(options, "--subnet"), gateway: after(options, "--gateway") }],
            dns_enabled: !options.includes("--disable-dns"),
            labels: { "io.jiji.network": "1" },
            options: { mtu: after(options, "--opt").replace("mtu=", "") },
          },
        ]),
      );
    }
    return this.#change("podman", args);
  }

  #change(engine: "docker" | "podman", args: readonly string[]): Result {
    const verb = args[1];
    if (args[0] !== "network") throw new Error(`${engine} ${args.join(" ")}`);
    if (verb === "create") this.networks[engine].set("jiji", [...args]);
    else if (verb === "disconnect") this.attached[engine].delete(args.at(-1) ?? "");
    else if (verb === "rm" && this.attached[engine].size > 0) return failed("network has active endpoints");
    else if (verb === "rm") this.networks[engine].delete("jiji");
    else throw new Error(`${engine} ${args.join(" ")}`);
    return ok();
  }
}

function byKey([a]: readonly [string | number, unknown], [b]: readonly [string | number, unknown]): number {
  return a < b ? -1 : 1;
}

function after(args: readonly string[], flag: string): string {
  return args[args.indexOf(flag) + 1] ?? "";
}

function inspected(args: readonly string[]): unknown {
  const options = args.flatMap((arg, index) =>
    args[index - 1] === "--opt" ? [arg.split("=") as [string, string]] : [],
  );
  return {
    Driver: "bridge",
    Internal: false,
    IPAM: { Config: [{ Subnet: after(args, "--subnet"), Gateway: after(args, "--gateway") }] },
    Options: Object.fromEntries(options),
    Labels: { "io.jiji.network": "1" },
  };
}
