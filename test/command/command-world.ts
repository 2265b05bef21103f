import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { CliContext } from "../../src/cli/context.ts";
import { runCli, type AddCommands } from "../../src/cli/program.ts";
import { VERSION } from "../../src/model/version.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { Clock } from "../../src/system/host.ts";
import { fakeCorrosion, fakeExecutable, fakeRelease, FakeServer, FakeSsh } from "../fake-servers.ts";

/** A whole command line in this process: files in a folder of its own, servers in memory. */
export interface CommandWorld {
  readonly folder: string;
  readonly servers: Record<string, FakeServer>;
  /** path of a file that passes for Corrosion */
  readonly corrosion: string;
  write(path: string, content: string): void;
  run(...argv: string[]): Promise<CommandResult>;
  /** what the person answers; undefined: there is no terminal */
  answer: boolean | undefined;
  /** a test that would wait gives another */
  clock: Clock;
  readonly interrupt: AbortController;
  readonly questions: string[];
  lookup: (host: string) => Promise<readonly string[]>;
  env: Record<string, string>;
  /** further groups of commands, as the entry point adds them */
  addCommands: AddCommands | undefined;
  close(): void;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function commandWorld(...names: string[]): CommandWorld {
  const folder = mkdtempSync(join(tmpdir(), "jiji-command-"));
  const servers = Object.fromEntries(names.map((name) => [name, new FakeServer(name)]));
  const write = (path: string, content: string | Uint8Array): void => {
    const place = join(folder, path);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, content);
  };
  writeRelease(write);
  write("corrosion", fakeCorrosion);
  const world: CommandWorld = {
    folder,
    servers,
    corrosion: join(folder, "corrosion"),
    write,
    run: (...argv) => run(world, argv),
    answer: undefined,
    clock: systemClock,
    interrupt: new AbortController(),
    questions: [],
    lookup: async (host) => [`198.51.100.${11 + Object.keys(servers).indexOf(host)}`],
    env: {},
    addCommands: undefined,
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
  return world;
}

/** A deploy.yml that names these servers, each reached under its own name. */
export function deployFile(names: readonly string[], extra = ""): string {
  return `project: shop\nservers:\n${names.map((name) => `  ${name}: { host: ${name} }\n`).join("")}${extra}`;
}

function writeRelease(write: (path: string, content: string | Uint8Array) => void): void {
  const packed = gzipSync(fakeExecutable);
  const gzipSha256 = createHash("sha256").update(packed).digest("hex");
  const file = { ...fakeRelease(), gzip: "jiji-linux-x64.gz", gzipSha256, glibc: "2.17" };
  write("server/jiji-linux-x64.gz", packed);
  write("server/release.json", JSON.stringify({ version: VERSION, files: { x64: file, arm64: file } }));
}

async function run(world: CommandWorld, argv: readonly string[]): Promise<CommandResult> {
  const text = { stdout: "", stderr: "" };
  const sink = (name: "stdout" | "stderr") => ({
    write: (chunk: string) => void (text[name] += chunk),
    isTerminal: false,
    columns: undefined,
  });
  const context: CliContext = {
    env: world.env,
    cwd: world.folder,
    home: join(world.folder, "home"),
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    canAsk: world.answer !== undefined,
    ask: async (question) => {
      world.questions.push(question);
      return world.answer === true;
    },
    openSsh: () => new FakeSsh(Object.values(world.servers)),
    lookup: (host) => world.lookup(host),
    clock: world.clock,
    self: "ann@laptop",
    releaseFolder: join(world.folder, "server"),
    cacheFolder: join(world.folder, "cache"),
    corrosion: {
      apiUrl: "https://unused.invalid",
      downloadUrl: "https://unused.invalid",
      fetch: () => Promise.reject(new Error("no network in this test")),
    },
    interrupted: world.interrupt.signal,
  };
  const code = await runCli(argv, context, world.addCommands);
  const plain = (shown: string): string =>
    shown
      .replaceAll(world.folder, "FOLDER")
      .replaceAll(/\d+\.\d s/g, "N s")
      .replaceAll(/since \S+Z/g, "since TIME");
  return { code, stdout: plain(text.stdout), stderr: plain(text.stderr) };
}
