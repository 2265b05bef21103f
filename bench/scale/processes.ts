import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EventLog, labNowMs } from "../../lab/event-log.ts";
import { jijiExecutable } from "../../lab/jiji.ts";
import { SCHEMA } from "../../src/store/schema.ts";
import { splitLines } from "../../src/system/line-split.ts";
import {
  CLUSTER,
  addressOf,
  GOSSIP_PORT,
  siteAddress,
  SITES,
  STORE_PORT,
  SUBJECT,
  type Site,
  type Size,
} from "./layout.ts";
import type { SiteNetwork } from "./network.ts";
import type { SiteCommand, SiteEvent } from "./protocol.ts";

/** A program of the measurement. */
export interface Running {
  readonly title: string;
  readonly pid: number;
  stop(): Promise<void>;
}

interface World {
  readonly network: SiteNetwork;
  readonly folder: string;
  readonly tokenFile: string;
}

function running(title: string, child: Bun.Subprocess): Running {
  return {
    title,
    pid: child.pid,
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** What the kernel says of a process's memory now. */
export function memoryOf({ pid }: Running): { readonly residentMb: number; readonly anonymousMb: number } {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const kb = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { residentMb: kb("VmRSS") / 1024, anonymousMb: kb("RssAnon") / 1024 };
}

/** Processor time that a process has had, ms. */
export function cpuMsOf({ pid }: Running): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  // in clock ticks, of which Linux has 100 a second (proc(5))
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** A Corrosion with the settings of a real server, as far as they are about size. */
export function startSiteStore(world: World, site: Site, binary: string): Running {
  const folder = join(world.folder, site);
  mkdirSync(join(folder, "schema"), { recursive: true });
  writeFileSync(join(folder, "schema", "jiji.sql"), SCHEMA);
  const others = SITES.filter((other) => other !== site).map((other) => `"${siteAddress(other)}:${GOSSIP_PORT}"`);
  const token = readFileSync(world.tokenFile, "utf8").trim();
  const lines = [
    `[db]\npath = "${folder}/state.db"\nschema_paths = ["${folder}/schema"]\ncache_size_kib = -16384`,
    `[gossip]\naddr = "${siteAddress(site)}:${GOSSIP_PORT}"\nclient_addr = "${siteAddress(site)}:0"`,
    `bootstrap = [${others.join(", ")}]\nplaintext = true\nmax_mtu = 1392`,
    `[api]\naddr = "127.0.0.1:${STORE_PORT}"\nauthz.bearer-token = "${token}"`,
    `[admin]\npath = "${folder}/admin.sock"\n[perf]\nwal_threshold_mb = 64\n[log]\ncolors = false\n`,
  ];
  writeFileSync(join(folder, "config.toml"), lines.join("\n"));
  const argv = world.network.enter(site, [binary, "-c", join(folder, "config.toml"), "agent"]);
  const log = Bun.file(join(folder, "log"));
  const child = Bun.spawn(argv, { env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin" }, stdout: log, stderr: log });
  return running(`Corrosion ${site}`, child);
}

/** The agents of a site's servers. */
export interface SiteAgents extends Running {
  readonly log: EventLog<SiteEvent & { readonly seenMs: number; readonly atMs: number }>;
  tell(command: SiteCommand): void;
}

export function startSiteAgents(world: World, site: Site, { servers, containers }: Size): SiteAgents {
  const script = join(import.meta.dir, "site.ts");
  const settings = [site, String(servers), String(containers), world.tokenFile];
  const child = Bun.spawn(world.network.enter(site, [process.execPath, "--no-env-file", script, ...settings]), {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const log = new EventLog<SiteEvent & { readonly seenMs: number; readonly atMs: number }>();
  const read = async (): Promise<void> => {
    for await (const line of splitLines(child.stdout, 1024 * 1024)) {
      const seenMs = labNowMs();
      log.add({ atMs: seenMs, ...(JSON.parse(line) as SiteEvent), seenMs });
    }
  };
  read().catch(() => undefined);
  return {
    ...running(`agents of site ${site}`, child),
    log,
    tell: (command) => {
      void child.stdin.write(`${JSON.stringify(command)}\n`);
      void child.stdin.flush();
    },
  };
}

export interface SubjectAgent extends Running {
  /** how many of the others are heard, and which datagrams were dropped */
  report(): Promise<{ readonly heard: number; readonly dropped: Readonly<Record<string, number>> }>;
}

/** The measured server's agent; resolves when its sockets are there. */
export async function startSubject(world: World, { servers }: Size): Promise<SubjectAgent> {
  const settings = [String(servers), world.tokenFile, world.folder];
  const argv = [process.execPath, "--no-env-file", join(import.meta.dir, "subject.ts"), ...settings];
  const child = Bun.spawn(world.network.enter("a", argv), { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const lines = splitLines(child.stdout, 1024 * 1024)[Symbol.asyncIterator]();
  await lines.next();
  return {
    ...running("the measured agent", child),
    report: async () => {
      void child.stdin.write("?\n");
      void child.stdin.flush();
      const { value } = await lines.next();
      return JSON.parse(String(value)) as { heard: number; dropped: Record<string, number> };
    },
  };
}

/** The measured server's jiji-dns, as its unit runs it. */
export function startDns(world: World): Running {
  const log = Bun.file(join(world.folder, "dns.log"));
  const argv = [
    ...[jijiExecutable(), "dns", "serve", "--listen", `${addressOf(SUBJECT)}:53`, "--cidr", CLUSTER],
    ...["--store", `unix:${world.folder}/store.sock`, "--agent-socket", `${world.folder}/agent.sock`],
    ...["--upstream", "127.0.0.1:9"],
  ];
  return running("jiji-dns", Bun.spawn(world.network.enter("a", argv), { stdout: log, stderr: log }));
}

export type { World };
