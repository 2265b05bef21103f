import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildExecutable } from "../../tools/build.ts";
import {
  buildCoreDns,
  findPeers,
  startContender,
  type Contender,
  type ContenderName,
  type Job,
  type OwnPrograms,
} from "./contenders.ts";
import { untilAnswered } from "./measure.ts";
import { runProgram, SERVER_CORE } from "./processes.ts";
import { startRowSource, type RowSource } from "./row-source.ts";
import { encodeQuestions, makeSample, type Sample, type SampleName } from "./sample.ts";

/** Everything that measurements need: programs, a folder, and what is to be ended afterwards. */
export interface World {
  readonly folder: string;
  readonly programs: OwnPrograms & { readonly load: string };
  readonly peers: ReadonlyMap<ContenderName, string>;
  /** A sample with a source of its rows and a file of questions. */
  sample(services: number, hasInstances: boolean): Promise<LoadedSample>;
  /** Starts a server on the server's core or the given ones, in a folder of its own or the given one, and waits until it answers the last name. */
  start(
    name: ContenderName,
    job: Job,
    options?: {
      readonly awaits?: SampleName;
      readonly folder?: string;
      readonly cores?: readonly number[];
      /** jiji-dns has the priority that its service has */
      readonly isService?: boolean;
    },
  ): Promise<Contender>;
  /** Gives a server's socket the room for questions that jiji-dns.socket asks for, where this process may. */
  giveRoom(contender: Contender): Promise<void>;
  /** A new folder. */
  fresh(what: string): Promise<string>;
  /** A file of questions for load.c. */
  questions(names: readonly SampleName[]): Promise<string>;
  say(line: string): void;
  close(): Promise<void>;
}

export interface LoadedSample extends Sample {
  readonly source: RowSource;
  readonly questions: string;
}

const START_MS = 30_000;
/** A server that starts is not kept from it by being asked. */
const START_PAUSE_MS = 2;

const REPOSITORY = join(import.meta.dir, "..", "..");

/** Compiles and finds the programs. `jiji`: an executable that is there, and nothing is built; `hasPeers`: others are compared with. */
export async function openWorld(options: {
  readonly jiji?: string;
  readonly hasPeers: boolean;
  readonly say: (line: string) => void;
}): Promise<World> {
  const { say, hasPeers } = options;
  const folder = await mkdtemp(join(tmpdir(), "jiji-bench-"));
  const closing: (() => Promise<unknown>)[] = [];
  const compile = async (source: string, name: string): Promise<string> => {
    const program = join(folder, name);
    await runProgram(["cc", "-O2", "-o", program, join(REPOSITORY, "bench", source)]);
    return program;
  };
  const programs = {
    cLoop: await compile("c-loop.c", "c-loop"),
    load: await compile("dns/load.c", "load"),
    socketRoom: await compile("dns/socket-room.c", "socket-room"),
    jiji: options.jiji === undefined ? join(REPOSITORY, "dist", "jiji") : resolve(options.jiji),
  };
  if (options.jiji === undefined) await buildExecutable({ onProgress: say });
  const peers = hasPeers ? await peersOf(say) : new Map<ContenderName, string>();
  const program = (name: ContenderName): string => {
    if (name === "jiji") return programs.jiji;
    return name === "c-loop" ? programs.cLoop : (peers.get(name) ?? "");
  };
  let count = 0;
  // Ports of their own, so that a server that is slow to end is not in the way of the next.
  let port = 20_053 + Math.floor(Math.random() * 20_000);
  const fresh = async (what: string): Promise<string> => {
    const path = join(folder, `${what}-${++count}`);
    await mkdir(path);
    return path;
  };
  const questions = async (names: readonly SampleName[]): Promise<string> => {
    const path = join(folder, `questions-${++count}`);
    await writeFile(path, encodeQuestions(names));
    return path;
  };
  return {
    folder,
    programs,
    peers,
    say,
    fresh,
    questions,
    sample: async (services, hasInstances) => {
      const sample = makeSample(services, hasInstances);
      const source = await startRowSource(sample, join(folder, `rows-${++count}.sock`));
      closing.push(() => source.close());
      return { ...sample, source, questions: await questions(sample.names) };
    },
    start: async (name, job, { awaits, folder, cores = [SERVER_CORE], isService = false } = {}) => {
      const place = folder ?? (await fresh(name));
      const contender = await startContender(name, program(name), ++port, job, place, { cores, isService });
      closing.push(() => contender.stop());
      const last = awaits ?? job.names.at(-1);
      if (last !== undefined) await untilAnswered(contender, last, START_MS, START_PAUSE_MS);
      return contender;
    },
    giveRoom: (contender) => giveRoom(programs.socketRoom, contender),
    close: async () => {
      await Promise.all(closing.toReversed().map((close) => close()));
      if (existsSync(folder)) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What jiji-dns.socket asks for (ReceiveBuffer=). */
const SOCKET_ROOM_BYTES = 4 * 1024 * 1024;

/** Without the right to do so, each keeps what it has set up itself. Throws when the server has no such socket. */
async function giveRoom(program: string, { name, pid, port }: Contender): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const changed = await runProgram([program, `${pid}`, `${port}`, `${SOCKET_ROOM_BYTES}`]);
  if (Number(changed) === 0) throw new Error(`${name} has no UDP socket at port ${port}`);
}

async function peersOf(say: (line: string) => void): Promise<ReadonlyMap<ContenderName, string>> {
  let peers = findPeers();
  if (!peers.has("coredns")) {
    say("building CoreDNS, which takes some minutes once …");
    const problem = await buildCoreDns();
    if (problem !== undefined) say(`without CoreDNS: ${problem}`);
    peers = findPeers();
  }
  for (const name of ["knot", "unbound", "dnsmasq"] as const) {
    if (!peers.has(name)) say(`without ${name}: install it with apt-get install knot unbound dnsmasq-base`);
  }
  return peers;
}
