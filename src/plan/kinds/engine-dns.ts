import { z } from "zod";
import type { Ipv4 } from "../../model/address.ts";
import { serverAddress } from "../../model/cluster.ts";
import { JijiError } from "../../model/errors.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import type { EngineKind } from "../../model/node-spec.ts";
import { PATHS } from "../../model/paths.ts";
import { known, type Reading } from "../../model/reading.ts";
import { containersConf } from "../../render/containers-conf.ts";
import { daemonJson } from "../../render/daemon-json.ts";
import type { DnsFileFormat, DnsKeys } from "../../render/dns-keys.ts";
import type { JoinGoal, NodeGoal } from "../goal.ts";
import {
  fileBeforeSchema,
  planManagedFile,
  planRestore,
  type DesiredFile,
  type Steps,
  type SeenFile,
} from "../managed-file.ts";
import type { FileOwner } from "../../system/host.ts";
import { Secret } from "../../model/secret.ts";
import { manifestEntry, type Manifest, type ManifestEntry } from "../manifest.ts";
import { stepsOf } from "../step.ts";

export const ENGINE_DNS_KIND = "engine-dns";

export const DOCKER_UNIT = "docker.service";

/** The manifest's target for daemon.json while live-restore is lent to a restart. */
export const INTERRUPTED_RESTART = "daemon.json during a restart";

/** The running Docker daemon, as far as a restart is concerned. */
export interface DockerDaemon {
  /** systemd's id of this start of the unit */
  readonly invocation: string;
  readonly runningContainers: number;
  /** whether containers keep running while the daemon restarts */
  readonly hasLiveRestore: boolean;
  /** part of a swarm, which knows no live-restore */
  readonly isSwarm: boolean;
}

export interface EngineDnsObserved {
  readonly files: Readonly<Record<EngineKind, SeenFile>>;
  /** search domains of the server's own resolv.conf */
  readonly hostSearches: Reading<readonly string[]>;
  /** absent: not running, so that its next start reads the file anyway */
  readonly daemon: Reading<DockerDaemon>;
  /** the start of the daemon that has not read the last change of the file */
  readonly staleInvocation: Reading<string>;
}

export type EngineDnsAction =
  /** puts back the settings only, since others have changed the rest of the file meanwhile */
  | { readonly op: "withdraw"; readonly path: string; readonly content: Secret; readonly owner: FileOwner }
  | { readonly op: "restart-docker" }
  | { readonly op: "finish-restart" };

type DnsSteps = Steps<EngineDnsAction>;

const step = stepsOf<EngineDnsAction>(ENGINE_DNS_KIND);

export const DNS_FILES: Readonly<Record<EngineKind, { readonly path: string; readonly format: DnsFileFormat }>> = {
  docker: { path: PATHS.dockerDaemon, format: daemonJson },
  podman: { path: PATHS.containersConf, format: containersConf },
};

/** What stands in the manifest for a file: its state from before, and the address that was put in. */
export const dnsBeforeSchema = fileBeforeSchema.extend({ address: z.string() });

/**
 * Has containers ask jiji-dns alone, since some libraries ask all servers at once and believe the first that says no. The
 * search domain `jiji` comes before the others.
 *
 * Docker reads its file only when it starts. Setup restarts Docker by itself when nothing runs in it or when it keeps
 * containers anyway, otherwise only when the operator allows it. Teardown always restarts it, since the resolver that it
 * gives to new containers is gone. Containers keep running, except in a swarm.
 */
export function planEngineDns(goal: NodeGoal, observed: EngineDnsObserved, manifest: Manifest): DnsSteps {
  if (goal.phase === "prepare") return [];
  const files =
    goal.phase === "teardown"
      ? planWithdrawal(["docker", "podman"], observed, manifest)
      : planJoin(goal, observed, manifest);
  const changesDocker = files.some(({ target }) => target === PATHS.dockerDaemon);
  const steps = [...planInterrupted(manifest), ...files];
  if (!isRestartDue(observed, changesDocker) || !mayRestart(goal, observed)) return steps;
  const summary = "restart Docker, which reads its DNS settings only then";
  return [...steps, step("restart", DOCKER_UNIT, summary, { op: "restart-docker" })];
}

function planInterrupted(manifest: Manifest): DnsSteps {
  if (manifestEntry(manifest, ENGINE_DNS_KIND, INTERRUPTED_RESTART) === undefined) return [];
  const summary = `put back ${PATHS.dockerDaemon} after a restart that was interrupted`;
  return [step("restore", INTERRUPTED_RESTART, summary, { op: "finish-restart" })];
}

function planJoin(goal: JoinGoal, observed: EngineDnsObserved, manifest: Manifest): DnsSteps {
  const { engine } = goal.spec;
  const other: EngineKind = engine === "docker" ? "podman" : "docker";
  const file = planManagedFile(ENGINE_DNS_KIND, engineDnsFile(goal, observed), observed.files[engine]);
  return [...planWithdrawal([other], observed, manifest), ...file];
}

/** The configured engine's file as it should be. Throws a conflict when what stands there cannot be edited. */
export function engineDnsFile(goal: JoinGoal, observed: EngineDnsObserved): DesiredFile {
  const { engine, cluster, subnet } = goal.spec;
  const { path, format } = DNS_FILES[engine];
  const seen = observed.files[engine];
  const before = known(seen.content, path) ?? null;
  const current = before === null ? { servers: null, searches: null } : format.read(before);
  const searches = current?.searches ?? known(observed.hostSearches, "/etc/resolv.conf") ?? [];
  const keys: DnsKeys = {
    servers: [serverAddress(cluster.cidr, subnet)],
    searches: [SERVICE_DOMAIN, ...searches.filter((domain) => domain !== SERVICE_DOMAIN)],
  };
  const content = current === undefined ? undefined : format.write(before, keys);
  if (content === undefined) {
    throw new JijiError("conflict", `${path} cannot be read as ${engine} reads it`, {
      hint: `correct it (${engine} would refuse it too), then run the command again`,
    });
  }
  const stat = known(seen.stat, path);
  return stat?.type === "file"
    ? { path, content, mode: stat.mode, owner: stat.owner, group: stat.group }
    : { path, content, mode: 0o644 };
}

/** Whether a running daemon has not read its settings, or will not have after the change to come. */
function isRestartDue(observed: EngineDnsObserved, isChanging: boolean): boolean {
  const daemon = known(observed.daemon, DOCKER_UNIT);
  if (daemon === undefined) return false;
  return isChanging || known(observed.staleInvocation, "what Docker has read") === daemon.invocation;
}

function mayRestart(goal: NodeGoal, observed: EngineDnsObserved): boolean {
  if (goal.phase !== "prepare" && goal.restartEngine === true) return true;
  const daemon = known(observed.daemon, DOCKER_UNIT);
  if (daemon === undefined) return false;
  if (daemon.runningContainers === 0 || daemon.hasLiveRestore) return true;
  return goal.phase === "teardown" && !daemon.isSwarm;
}

function planWithdrawal(engines: readonly EngineKind[], observed: EngineDnsObserved, manifest: Manifest): DnsSteps {
  return engines.flatMap((engine): DnsSteps => {
    const { path } = DNS_FILES[engine];
    const entry = manifestEntry(manifest, ENGINE_DNS_KIND, path);
    if (entry === undefined) return [];
    const seen = observed.files[engine];
    const text = known(seen.content, path);
    const owner = known(seen.stat, path);
    if (text === undefined || owner === undefined || isOnlyOurs(engine, entry, text)) return [planRestore(entry)];
    const content = withdrawn(engine, entry, text);
    if (content === undefined) {
      throw new JijiError("conflict", `${path} has a form that jiji cannot edit`, {
        hint: `remove jiji's resolver and the search domain "jiji" from it by hand, then run the command again`,
      });
    }
    const summary = `take jiji's resolver out of ${path}, which others have changed since`;
    return [step("change", path, summary, { op: "withdraw", path, content: new Secret(content), owner })];
  });
}

/** Whether the file differs from what stood there before in nothing but the settings: it is made again to see. */
function isOnlyOurs(engine: EngineKind, entry: ManifestEntry, content: string): boolean {
  const { format } = DNS_FILES[engine];
  const { file } = dnsBeforeSchema.parse(entry.before);
  const keys = format.read(content);
  if (keys === undefined || (file !== null && !("content" in file))) return false;
  return format.write(file?.content ?? null, keys) === content;
}

/**
 * The file with the settings from before in place of ours, where ours still stand; undefined when it cannot be edited.
 */
export function withdrawn(engine: EngineKind, entry: ManifestEntry, content: string): string | undefined {
  const { format } = DNS_FILES[engine];
  const { file, address } = dnsBeforeSchema.parse(entry.before);
  const now = format.read(content);
  const before = file !== null && "content" in file ? format.read(file.content) : undefined;
  if (now === undefined) return undefined;
  return format.write(content, {
    servers: now.servers?.includes(address) === true ? (before?.servers ?? null) : now.servers,
    searches: now.searches?.includes(SERVICE_DOMAIN) === true ? (before?.searches ?? null) : now.searches,
  });
}

/** Names resolvers that are no longer asked, and a daemon that has not read its settings. */
export function engineDnsNotes(goal: NodeGoal, observed: EngineDnsObserved, manifest: Manifest): readonly string[] {
  if (goal.phase === "prepare") return [];
  const isTeardown = goal.phase === "teardown";
  if (!isTeardown && goal.spec.engine !== "docker") return [];
  const { path, format } = DNS_FILES.docker;
  const notes: string[] = [];
  const content = observed.files.docker.content;
  const before = beforeKeys(manifest) ?? (content.state === "found" ? format.read(content.value) : undefined);
  const own = isTeardown ? undefined : serverAddress(goal.spec.cluster.cidr, goal.spec.subnet);
  const others = (before?.servers ?? []).filter((server) => server !== own);
  if (!isTeardown && others.length > 0 && goal.spec.dns.upstreams.length === 0) {
    notes.push(
      `${path} named the resolvers ${others.join(", ")}; jiji-dns asks the server's own instead, ` +
        "or those of network.dns.upstreams in deploy.yml",
    );
  }
  if (isRestartDue(observed, false) && !mayRestart(goal, observed)) notes.push(restartNote(isTeardown, own));
  return notes;
}

function beforeKeys(manifest: Manifest): DnsKeys | undefined {
  const entry = manifestEntry(manifest, ENGINE_DNS_KIND, PATHS.dockerDaemon);
  const parsed = entry === undefined ? undefined : dnsBeforeSchema.safeParse(entry.before);
  if (parsed?.success !== true) return undefined;
  const { file } = parsed.data;
  return file !== null && "content" in file ? daemonJson.read(file.content) : { servers: null, searches: null };
}

function restartNote(isTeardown: boolean, own: Ipv4 | undefined): string {
  return isTeardown
    ? "Docker still gives new containers jiji's resolver until it is restarted, which would stop the swarm's tasks here: " +
        "run teardown with --restart-engine"
    : `Docker gives containers the resolver ${own} only after a restart, and some are running: ` +
        "run setup with --restart-engine (they keep running; each has the resolver once it is started anew)";
}
