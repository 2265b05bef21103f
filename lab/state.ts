import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ToolError } from "../tools/errors.ts";
import { isAlive, type ProcessIdentity } from "./process-identity.ts";
import type { EngineChoice, Release } from "./recipe.ts";

/** Where every lab has its folder, named by the lab's id: the registry of all labs on this machine. */
export const labsDirectory = "/var/tmp/jiji-lab";

/** What is remembered of a lab; written once, when it begins. */
export interface LabState {
  readonly id: string;
  readonly createdAt: string;
  /** The process whose end is the end of the lab; null: the lab stays until someone takes it down. */
  readonly owner: ProcessIdentity | null;
}

/** What is remembered of a server; replaced whole. */
export interface ServerState {
  readonly name: string;
  readonly release: Release;
  readonly engine: EngineChoice;
  /** Last number of its public address. */
  readonly octet: number;
  /** The base image that its file system stands on. */
  readonly image: string;
  /** systemd-nspawn of the running server; null: switched off. */
  readonly nspawn: ProcessIdentity | null;
  /** Its public link is cut; survives a reboot. */
  readonly cut: boolean;
  /** Delay and loss of its public link; null: none. Survives a reboot. */
  readonly impairment: Impairment | null;
  /** The program that makes them; null: there is none, the cable goes straight to the switch. */
  readonly forwarder: ProcessIdentity | null;
}

export interface Impairment {
  /** How late each frame arrives, each way: a round trip is twice that. */
  readonly delayMs: number;
  /** How many of a hundred frames are lost, each way. */
  readonly lossPercent: number;
}

export function labDirectory(id: string): string {
  return join(labsDirectory, id);
}

export function serverDirectory(id: string, name: string): string {
  return join(labDirectory(id), "servers", name);
}

/** Ids of all labs that have a folder, also of half-made and dead ones. */
export function listLabIds(): string[] {
  if (!existsSync(labsDirectory)) return [];
  return readdirSync(labsDirectory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/** Null: there is no such lab, or it never came as far as having a state. */
export function loadLabState(id: string): LabState | null {
  return loadJson<LabState>(join(labDirectory(id), "lab.json"));
}

export function writeLabState(state: LabState): void {
  writeJson(join(labDirectory(state.id), "lab.json"), state);
}

/** All servers of a lab in the order of their addresses. */
export function loadServerStates(id: string): ServerState[] {
  const directory = join(labDirectory(id), "servers");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .map((name) => loadJson<ServerState>(join(directory, name, "server.json")))
    .filter((state) => state !== null)
    .sort((a, b) => a.octet - b.octet);
}

/** Throws `ToolError` for a name that this lab does not have. */
export function loadServerState(id: string, name: string): ServerState {
  const state = loadJson<ServerState>(join(serverDirectory(id, name), "server.json"));
  if (state === null) {
    const names = loadServerStates(id).map((server) => server.name);
    throw new ToolError(`lab ${id} has no server ${name}`, `its servers: ${names.join(", ")}`);
  }
  return state;
}

export function writeServerState(id: string, state: ServerState): void {
  writeJson(join(serverDirectory(id, state.name), "server.json"), state);
}

/** Changes some fields of what is remembered of a server and returns the result. */
export function updateServerState(id: string, name: string, change: Partial<ServerState>): ServerState {
  const state = { ...loadServerState(id, name), ...change };
  writeServerState(id, state);
  return state;
}

/** A lab whose process ended without taking it down. */
export function isAbandoned(state: LabState): boolean {
  return state.owner !== null && !isAlive(state.owner);
}

function loadJson<T>(path: string): T | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function writeJson(path: string, value: unknown): void {
  mkdirSync(join(path, ".."), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(temporary, path);
}
