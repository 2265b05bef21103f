import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { ensureBaseImage, imageDirectory } from "./base-image.ts";
import { makeOwnedDirectory } from "../tools/cache.ts";
import { ToolError } from "../tools/errors.ts";
import { bridgePort, impairLink } from "./impair.ts";
import { withLock } from "./lock.ts";
import { prepareMachine } from "./machine.ts";
import { makeSwitch, publicAddress, setLinkPassing } from "./namespaces.ts";
import {
  enterOperator,
  makeOperator,
  operatorEnvironment,
  operatorOf,
  type Operator,
  refreshOperator,
} from "./operator.ts";
import { disownLab, ownLab } from "./owner.ts";
import { identifyProcess } from "./process-identity.ts";
import type { EngineChoice, Release } from "./recipe.ts";
import { registryLock, removeAbandonedLabs, removeLab } from "./remove-lab.ts";
import { type ExecResult, mustRun, run } from "../tools/run.ts";
import { execInServer, type ServerExecOptions } from "./server-exec.ts";
import { loadLabImage, settleEngines } from "./server-image.ts";
import { leaderPid, powerLoss, powerOff, powerOn } from "./server-power.ts";
import { waitUntilUp } from "./server-ready.ts";
import { makeServerRoot, serverRoot } from "./server-root.ts";
import * as State from "./state.ts";
import type { Impairment } from "./state.ts";

export type { EngineChoice, Release } from "./recipe.ts";
export type { ExecResult } from "../tools/run.ts";
export type { ServerExecOptions } from "./server-exec.ts";
export type { Operator } from "./operator.ts";
export type { Impairment } from "./state.ts";

export interface ServerRequest {
  /** 1 to 12 of a-z, 0-9 and hyphen, a letter first. */
  readonly name: string;
  readonly release: Release;
  readonly engine: EngineChoice;
}

export interface LabRequest {
  /** 1 to 12 of a-z, 0-9 and hyphen; default: a free random one. */
  readonly id?: string;
  readonly servers: readonly ServerRequest[];
  readonly onProgress?: (line: string) => void;
}

export interface LabServer {
  readonly name: string;
  /** Public address, 198.51.100.x. */
  readonly address: string;
  readonly release: Release;
  readonly engine: EngineChoice;
  /** Path of its root file system on the machine; mounts made inside the server do not show there. */
  readonly root: string;
  /** Process id of its systemd on the machine; throws `ToolError` when it is switched off. */
  readonly leaderPid: () => number;
}

export interface OperatorExecOptions {
  readonly input?: string;
  /** Default: the operator's home. */
  readonly cwd?: string;
  /** Added to the operator's environment. */
  readonly env?: Record<string, string>;
  readonly timeoutMs?: number;
  readonly onStderr?: (chunk: string) => void;
  readonly onStdout?: (chunk: string) => void;
}

/** Servers on this machine, joined by a network of their own, and an operator beside them. */
export interface Lab {
  readonly id: string;
  readonly servers: readonly LabServer[];
  /** Folder with everything that belongs to this lab. */
  readonly directory: string;
  readonly operator: Operator;
  /** Runs a program as root in a server (all its namespaces, a clean environment); resolves whatever its exit code. */
  exec(server: string, argv: readonly string[], options?: ServerExecOptions): Promise<ExecResult>;
  /** Runs a program in the operator's network namespace; resolves whatever its exit code. */
  operatorExec(argv: readonly string[], options?: OperatorExecOptions): Promise<ExecResult>;
  /** Starts a program in the operator's network namespace with pipes; it is killed at the latest with the lab. */
  operatorSpawn(
    argv: readonly string[],
    options?: Pick<OperatorExecOptions, "cwd" | "env">,
  ): Bun.Subprocess<"pipe", "pipe", "pipe">;
  /** Cuts the server's public link: it stays up and passes nothing. The cut survives a reboot. */
  cut(server: string): Promise<void>;
  heal(server: string): Promise<void>;
  /**
   * Delays every frame on the server's public link by `delayMs` each way and drops `lossPercent` each way; null ends both.
   * Survives a reboot.
   */
  impair(server: string, impairment: Impairment | null): Promise<void>;
  /** Power loss: everything in the server ends at once. `start` switches it on again. */
  kill(server: string): Promise<void>;
  /** An orderly shutdown, then a start; resolves when the server is up again. */
  reboot(server: string): Promise<void>;
  addServer(request: ServerRequest): Promise<LabServer>;
  stop(server: string): Promise<void>;
  /** Switches the server on and resolves when it is up (systemd running or degraded, sshd answering). */
  start(server: string): Promise<void>;
  down(): Promise<void>;
}

/**
 * Brings servers up and resolves when all of them are up. The lab ends with this process (`keepLab` changes that); if
 * anything fails, nothing of it is left. Needs root; installs what the machine lacks and makes base images that the
 * cache lacks, telling `onProgress`. Throws `ToolError`.
 */
export async function startLab(request: LabRequest): Promise<Lab> {
  const onProgress = request.onProgress ?? (() => undefined);
  const id = request.id ?? `t${crypto.randomUUID().slice(0, 6)}`;
  checkNames([id, ...request.servers.map((server) => server.name)]);
  await prepareMachine(onProgress);
  makeOwnedDirectory(imageDirectory());
  for (const abandoned of await removeAbandonedLabs()) onProgress(`took down the abandoned lab ${abandoned}`);
  for (const { release, engine } of request.servers) await ensureBaseImage(release, engine, onProgress);
  await withLock(registryLock(), async () => {
    if (existsSync(State.labDirectory(id))) {
      throw new ToolError(`there is a lab ${id} already`, `npm run lab -- down --id ${id}, or take another id`);
    }
    mkdirSync(State.labDirectory(id), { recursive: true });
    await makeOverlayable(State.labDirectory(id));
    State.writeLabState({ id, createdAt: new Date().toISOString(), owner: identifyProcess(process.pid) });
  });
  try {
    return await ownLab(id, (interrupted) => bringUp(id, request.servers, onProgress, interrupted));
  } catch (error) {
    disownLab(id);
    await removeLab(id).catch(() => undefined);
    throw error;
  }
}

async function bringUp(
  id: string,
  servers: readonly ServerRequest[],
  onProgress: (line: string) => void,
  interrupted: AbortSignal,
): Promise<Lab> {
  await makeSwitch(id);
  interrupted.throwIfAborted();
  await makeOperator(id);
  for (const server of servers) {
    interrupted.throwIfAborted();
    await makeServer(id, server, onProgress);
  }
  interrupted.throwIfAborted();
  refreshOperator(id);
  await Promise.all(servers.map((server) => firstStart(id, server.name, onProgress)));
  interrupted.throwIfAborted();
  return labOf(id);
}

/** A lab that another process started. It does not end with this process. Throws `ToolError` when there is none. */
export async function openLab(id: string): Promise<Lab> {
  if (State.loadLabState(id) === null) {
    const others = State.listLabIds();
    throw new ToolError(
      `there is no lab ${id}`,
      others.length > 0 ? `labs: ${others.join(", ")}` : "npm run lab -- up",
    );
  }
  return labOf(id);
}

/** Lets a lab outlive the process that started it; someone has to take it down. */
export function keepLab(id: string): void {
  const state = State.loadLabState(id);
  if (state !== null) State.writeLabState({ ...state, owner: null });
  disownLab(id);
}

function labOf(id: string): Lab {
  const operator = operatorOf(id);
  const enter = (argv: readonly string[], options: Pick<OperatorExecOptions, "cwd" | "env">) => ({
    argv: enterOperator(id, argv),
    cwd: options.cwd ?? operator.home,
    env: operatorEnvironment(id, options.env),
  });
  return {
    id,
    get servers() {
      return State.loadServerStates(id).map((state) => serverOf(id, state));
    },
    directory: State.labDirectory(id),
    operator,
    exec: (server, argv, options) => execInServer(id, server, argv, options),
    async operatorExec(argv, options = {}) {
      const { argv: entered, cwd, env } = enter(argv, options);
      return await run(entered, { ...options, cwd, env });
    },
    operatorSpawn(argv, options = {}) {
      const { argv: entered, cwd, env } = enter(argv, options);
      return Bun.spawn(entered, { cwd, env, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    },
    cut: (server) => setCut(id, server, true),
    heal: (server) => setCut(id, server, false),
    impair: (server, impairment) => impairLink(id, server, impairment),
    kill: (server) => powerLoss(id, server),
    async reboot(server) {
      await powerOff(id, server);
      await switchOn(id, server);
    },
    async addServer(request) {
      checkNames([request.name]);
      await ensureBaseImage(request.release, request.engine, () => undefined);
      await makeServer(id, request);
      refreshOperator(id);
      await firstStart(id, request.name);
      return serverOf(id, State.loadServerState(id, request.name));
    },
    stop: (server) => powerOff(id, server),
    start: (server) => switchOn(id, server),
    async down() {
      disownLab(id);
      await removeLab(id);
    },
  };
}

function serverOf(id: string, state: State.ServerState): LabServer {
  return {
    name: state.name,
    address: publicAddress(state.octet),
    release: state.release,
    engine: state.engine,
    root: serverRoot(id, state.name),
    leaderPid: () => leaderPid(id, state.name),
  };
}

const firstServerOctet = 11;

async function makeServer(id: string, request: ServerRequest, onProgress?: (line: string) => void): Promise<void> {
  const image = await ensureBaseImage(request.release, request.engine, onProgress ?? (() => undefined));
  const state = await withLock(join(State.labDirectory(id), "lock"), async () => {
    const present = State.loadServerStates(id);
    if (present.some((server) => server.name === request.name)) {
      throw new ToolError(`lab ${id} has a server ${request.name} already`);
    }
    const octet = Math.max(firstServerOctet - 1, ...present.map((server) => server.octet)) + 1;
    const made: State.ServerState = {
      ...request,
      octet,
      image,
      nspawn: null,
      cut: false,
      impairment: null,
      forwarder: null,
    };
    State.writeServerState(id, made);
    return made;
  });
  const publicKey = await Bun.file(`${operatorOf(id).privateKey}.pub`).text();
  await makeServerRoot(id, state, publicKey);
}

async function firstStart(id: string, name: string, onProgress?: (line: string) => void): Promise<void> {
  await switchOn(id, name, onProgress);
  await loadLabImage(id, name);
  await settleEngines(id, name);
}

async function switchOn(id: string, name: string, onProgress?: (line: string) => void): Promise<void> {
  const started = performance.now();
  await powerOn(id, name);
  const condition = await waitUntilUp(id, name);
  onProgress?.(`${name}: ${condition} after ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

async function setCut(id: string, name: string, cut: boolean): Promise<void> {
  const state = State.updateServerState(id, name, { cut });
  if (state.nspawn !== null) await setLinkPassing(id, bridgePort(id, name), !cut);
}

/** In a container the machine's files stand on an overlay, which cannot carry another one: the lab is in memory then. */
async function makeOverlayable(directory: string): Promise<void> {
  const kind = await mustRun(["stat", "--file-system", "--format", "%T", directory]);
  if (kind.trim() === "overlayfs") await mustRun(["mount", "-t", "tmpfs", "-o", "mode=755", "jiji-lab", directory]);
}

/** Names become interface names (15 characters), files and host names. */
function checkNames(names: readonly string[]): void {
  for (const name of names) {
    if (!/^[a-z][a-z0-9-]{0,11}$/.test(name) || ["operator", "switch"].includes(name)) {
      throw new ToolError(
        `${JSON.stringify(name)} cannot be a name here`,
        "1 to 12 of a-z, 0-9 and hyphen, a letter first",
      );
    }
  }
  const twice = names.slice(1).find((name, index) => names.indexOf(name, 1) !== index + 1);
  if (twice !== undefined) throw new ToolError(`two servers are called ${twice}`);
}
