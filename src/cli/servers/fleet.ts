import type { ServerConfig } from "../../config/deploy-config.ts";
import { parseArch, type Arch } from "../../model/architecture.ts";
import type { ConfigProblem } from "../../config/problem.ts";
import { finding, type Finding } from "../../model/finding.ts";
import { endpointOf, parseIpv4, parseNumericAddress, type Endpoint } from "../../model/address.ts";
import { JijiError } from "../../model/errors.ts";
import { parseNodeSpecFile, type NodeSpec } from "../../model/node-spec.ts";
import { PORTS } from "../../model/ports.ts";
import { ConnectError, type Connection, type Ssh } from "../../system/connection.ts";
import type { CliContext } from "../context.ts";
import { configErrors } from "../load-config.ts";
import { asJijiError } from "../output.ts";
import type { Mesh } from "./mesh.ts";

/** The servers of a file: those that could be reached, and the others. */
export interface Fleet {
  readonly reached: readonly ReachedServer[];
  readonly unreached: readonly UnreachedServer[];
}

export interface ReachedServer {
  readonly config: ServerConfig;
  readonly connection: Connection;
  /** where peers reach it; empty when the command did not ask for it */
  readonly endpoints: readonly Endpoint[];
  /** undefined: a processor that jiji does not serve */
  readonly arch: Arch | undefined;
  /** the spec that it was given last */
  readonly spec: NodeSpec | undefined;
}

export interface UnreachedServer {
  readonly config: ServerConfig;
  readonly error: JijiError;
  /** true: nothing answers there now, and the others may go on without it; false: the operator must correct something */
  readonly isAway: boolean;
}

/** "1 server", "3 servers". */
export function countServers(count: number): string {
  return count === 1 ? "1 server" : `${count} servers`;
}

/**
 * Asks ssh what each entry means, and logs in to all these servers at once; `withEndpoints` looks up where peers reach them
 * as well. Mistakes of the file are thrown together before the first connection; a server that cannot be reached is part of
 * the result.
 */
export async function connectFleet(
  mesh: Mesh,
  servers: readonly ServerConfig[],
  { withEndpoints = false } = {},
): Promise<Fleet> {
  const { context, ssh } = mesh;
  const targets = await resolveTargets(mesh, servers, withEndpoints);
  const reached: ReachedServer[] = [];
  const unreached: UnreachedServer[] = [];
  const outcomes = await Promise.all(
    targets.map(async ({ config, endpoints }): Promise<ReachedServer | UnreachedServer> => {
      if (endpoints instanceof JijiError) return { config, error: endpoints, isAway: true };
      try {
        return reachedServer(config, endpoints, await ssh.connect(targetOf(config), context.interrupted));
      } catch (error) {
        return unreachedServer(config, error);
      }
    }),
  );
  context.interrupted.throwIfAborted();
  for (const outcome of outcomes) {
    if ("connection" in outcome) reached.push(outcome);
    else unreached.push(outcome);
  }
  return { reached, unreached };
}

function targetOf(config: ServerConfig): Parameters<Ssh["connect"]>[0] {
  return { name: config.name, host: config.host, user: config.user, port: config.port };
}

function reachedServer(config: ServerConfig, endpoints: readonly Endpoint[], connection: Connection): ReachedServer {
  const { probe } = connection;
  return { config, connection, endpoints, arch: parseArch(probe.machine), spec: parseNodeSpecFile(probe.spec) };
}

function unreachedServer(config: ServerConfig, error: unknown): UnreachedServer {
  if (!(error instanceof ConnectError)) return { config, error: asJijiError(error, config.name), isAway: false };
  const details = { server: config.name, hint: error.hint };
  return {
    config,
    error: new JijiError("connection", error.message, details),
    isAway: error.failure === "unreachable",
  };
}

/** Servers that answer and yet cannot be logged in to: a reason not to begin. */
export function loginFindings(unreached: readonly UnreachedServer[]): Finding[] {
  return unreached
    .filter(({ isAway }) => !isAway)
    .map(({ config, error }) => finding("login", { server: config.name, evidence: error.message, cure: error.hint }));
}

interface Target {
  readonly config: ServerConfig;
  /** an error when the name could not be looked up now */
  readonly endpoints: readonly Endpoint[] | JijiError;
}

async function resolveTargets(mesh: Mesh, servers: readonly ServerConfig[], withEndpoints: boolean): Promise<Target[]> {
  const { loaded, ssh } = mesh;
  const problems: ConfigProblem[] = [];
  const seen = new Map<string, string>();
  const targets = await Promise.all(
    servers.map(async (config): Promise<Target> => {
      const resolved = await ssh.resolve(targetOf(config));
      const place = `${resolved.hostName.toLowerCase()} ${resolved.port}`;
      const other = seen.get(place);
      seen.set(place, config.name);
      if (other !== undefined && !resolved.viaProxy) {
        const message = `server "${config.name}" leads to the same host as "${other}": ${resolved.hostName}, port ${resolved.port}`;
        problems.push({ at: config.at.host, message });
      }
      if (!withEndpoints) return { config, endpoints: [] };
      if (config.endpoints.length === 0 && config.nat) return { config, endpoints: [] };
      if (config.endpoints.length === 0 && resolved.viaProxy) {
        problems.push(endpointMissing(config));
        return { config, endpoints: [] };
      }
      return { config, endpoints: await lookUpEndpoints(mesh, config, resolved.hostName, problems) };
    }),
  );
  if (problems.length > 0) throw configErrors(loaded.shownPath, problems);
  return targets;
}

function endpointMissing(config: ServerConfig): ConfigProblem {
  return {
    at: config.at.endpoint,
    message: `ssh reaches server "${config.name}" through a proxy, so where its peers reach it cannot be known: endpoint is missing`,
    hint: "add endpoint: [ADDRESS:31820], or nat: true when it cannot be reached from outside",
  };
}

async function lookUpEndpoints(
  { context, loaded }: Mesh,
  config: ServerConfig,
  hostName: string,
  problems: ConfigProblem[],
): Promise<readonly Endpoint[] | JijiError> {
  const words = config.endpoints.length > 0 ? config.endpoints : [{ host: hostName, port: undefined }];
  const at = config.endpoints.length > 0 ? config.at.endpoint : config.at.host;
  const endpoints: Endpoint[] = [];
  for (const { host, port } of words) {
    const addresses = await lookUp(context, host);
    if (addresses === "away") {
      return new JijiError("connection", `its host name ${host} cannot be looked up now`, {
        server: config.name,
        hint: "check the network of this machine, or give literal addresses under endpoint",
      });
    }
    if (addresses.length === 0) {
      const hint = "correct it, or check the name with: getent hosts NAME";
      problems.push({ at, message: `server "${config.name}": no such host: ${host}`, hint });
    }
    const usable = addresses.filter(isReachableFromElsewhere);
    if (addresses.length > 0 && usable.length === 0 && loaded.config.servers.length > 1) {
      const hint = "add endpoint: [ADDRESS:31820] with an address at which the other servers reach it";
      problems.push({
        at,
        message: `server "${config.name}": ${host} is ${addresses[0]}, which only means itself`,
        hint,
      });
    }
    endpoints.push(...usable.flatMap((address) => endpointOf(address, port ?? PORTS.wireguard) ?? []));
  }
  return [...new Set(endpoints)];
}

/** Numeric addresses, IPv4 first and in a fixed order; empty when there is no such name. */
async function lookUp(context: CliContext, host: string): Promise<readonly string[] | "away"> {
  const numeric = parseNumericAddress(host);
  if (numeric !== undefined) return [numeric];
  try {
    const addresses = await context.lookup(host);
    const rank = (address: string): number => (parseIpv4(address) === undefined ? 1 : 0);
    return addresses
      .flatMap((address) => parseNumericAddress(address) ?? [])
      .toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOTFOUND" || code === "ENODATA" || code === "EAI_NONAME" ? [] : "away";
  }
}

/** Whether it is no loopback, unspecified or link-local address: those mean something else on every other machine. */
function isReachableFromElsewhere(address: string): boolean {
  if (address.includes(":")) return address !== "::" && address !== "::1" && !/^fe[89ab]/.test(address);
  return !/^(127\.|0\.|169\.254\.)/.test(address);
}
