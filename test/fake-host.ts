import { createHash } from "node:crypto";
import { dirname, basename } from "node:path";
import { ABSENT, found, type Reading } from "../src/model/reading.ts";
import {
  ProgramMissing,
  type Clock,
  type FileOwner,
  type Files,
  type FileStat,
  type Host,
  type ProgramResult,
  type Programs,
  type RunOptions,
} from "../src/system/host.ts";

/** What stands at one path of the fake machine. */
export type FakeEntry =
  | { type: "file"; content: Buffer; mode: number; owner: string; group: string }
  | { type: "folder"; mode: number; owner: string; group: string }
  | { type: "link"; target: string };

/** A program of the fake machine. Returning a text means exit 0 with that text on standard output. */
export type FakeProgram = (
  args: readonly string[],
  input: string,
  host: FakeHost,
) => ProgramResult | string | Promise<ProgramResult | string>;

export interface FakeHostOptions {
  /** path → content; mode 0644 root:root */
  readonly files?: Readonly<Record<string, string>>;
  /** name without folder → program; every other program is missing */
  readonly programs?: Readonly<Record<string, FakeProgram>>;
}

/** The fake machine stopped dead, as if its power had gone, before a change was made. */
export class FakeCrash extends Error {
  constructor() {
    super("the fake machine stopped");
    this.name = "FakeCrash";
  }
}

export function ok(stdout = ""): ProgramResult {
  return { code: 0, stdout, stderr: "" };
}

export function failed(stderr: string, code = 1): ProgramResult {
  return { code, stdout: "", stderr };
}

/** Programs that only look, and whose failure means that nothing is known. */
const LOOKS =
  /^(systemctl show|wg show|ip .*\bshow\b|ip6?tables-save|nft .*\blist|(docker|podman) (network (ls|inspect)|ps|info|version))\b/;

/** A machine in memory. Tests compare its whole state as text ({@link FakeHost.snapshot}). */
export class FakeHost implements Host {
  readonly entries = new Map<string, FakeEntry>();
  readonly table = new Map<string, FakeProgram>();
  /** every program that was run, as one line each */
  readonly log: string[] = [];
  /** paths that cannot be read, with the reason: their readings are unknown */
  readonly unreadable = new Map<string, string>();
  readonly files: Files = new FakeFiles(this);
  readonly programs: Programs = { run: (argv, options) => this.run(argv, options) };
  readonly clock: Clock & { now: number };
  /** changes made so far: file changes and programs that were run */
  changes = 0;
  /** looks so far: readings of files, and programs that only look */
  looks = 0;
  #blindAt = -1;
  #stopAt = Number.POSITIVE_INFINITY;
  #hasStopped = false;

  constructor(options: FakeHostOptions = {}) {
    for (const folder of ["/", "/etc", "/opt", "/run", "/usr", "/var", "/var/lib"]) this.#folder(folder);
    for (const [path, content] of Object.entries(options.files ?? {})) this.put(path, content);
    for (const [name, program] of Object.entries(options.programs ?? {})) this.table.set(name, program);
    const clock = {
      now: 1_700_000_000_000,
      nowMs: () => clock.now,
      monotonicMs: () => clock.now,
      sleep: (ms: number) => {
        clock.now += ms;
        return Promise.resolve();
      },
    };
    this.clock = clock;
  }

  /** From now on, the change after `count` more throws {@link FakeCrash}. */
  stopAfter(count: number): void {
    this.#stopAt = this.changes + count;
  }

  /** Takes back {@link stopAfter} and {@link blindAfter}. */
  runOn(): void {
    this.#stopAt = Number.POSITIVE_INFINITY;
    this.#blindAt = -1;
    this.#hasStopped = false;
  }

  /** Whether a change was refused since {@link stopAfter}: from then on the machine does nothing any more. */
  get hasStopped(): boolean {
    return this.#hasStopped;
  }

  /** The look after `count` more gives unknown, once: of a file, or by a program that only looks. */
  blindAfter(count: number): void {
    this.#blindAt = this.looks + count;
  }

  /** Called with every look: whether it sees nothing. */
  isBlind(): boolean {
    return this.looks++ === this.#blindAt;
  }

  /** Called before every change. */
  change(): void {
    if (this.changes >= this.#stopAt) {
      this.#hasStopped = true;
      throw new FakeCrash();
    }
    this.changes++;
  }

  /** Puts a file there, with its folders; no change is counted. */
  put(path: string, content: string | Uint8Array, owner: Partial<FileOwner> = {}): void {
    this.#folder(dirname(path));
    this.entries.set(path, {
      type: "file",
      content: Buffer.from(content),
      mode: owner.mode ?? 0o644,
      owner: owner.owner ?? "root",
      group: owner.group ?? "root",
    });
  }

  /** The text of a file; throws when there is none. */
  text(path: string): string {
    const entry = this.entries.get(path);
    if (entry?.type !== "file") throw new Error(`no file at ${path}`);
    return entry.content.toString("utf8");
  }

  #folder(path: string): void {
    if (this.entries.has(path)) return;
    if (path !== "/") this.#folder(dirname(path));
    this.entries.set(path, { type: "folder", mode: 0o755, owner: "root", group: "root" });
  }

  /** Every path with its mode, owner and content, sorted. `leaveOut` drops paths, e.g. those under /run. */
  snapshot(leaveOut: (path: string) => boolean = () => false): string {
    const lines: string[] = [];
    for (const [path, entry] of [...this.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (leaveOut(path)) continue;
      if (entry.type === "link") lines.push(`${path} -> ${entry.target}`);
      else {
        const head = `${path} ${entry.type} ${entry.mode.toString(8)} ${entry.owner}:${entry.group}`;
        lines.push(entry.type === "file" ? `${head} ${JSON.stringify(entry.content.toString("utf8"))}` : head);
      }
    }
    return `${lines.join("\n")}\n`;
  }

  /** The path with links followed; undefined when a link leads nowhere or in a circle. */
  resolve(path: string, followLast = true): string | undefined {
    let current = "/";
    const parts = path.split("/").filter((part) => part !== "");
    for (let hops = 0; parts.length > 0;) {
      const part = parts.shift() as string;
      if (part === ".." || part === ".") {
        if (part === "..") current = dirname(current);
        continue;
      }
      const next = current === "/" ? `/${part}` : `${current}/${part}`;
      const entry = this.entries.get(next);
      if (entry?.type === "link" && (followLast || parts.length > 0)) {
        if (++hops > 40) return undefined;
        parts.unshift(...entry.target.split("/").filter((piece) => piece !== ""));
        current = entry.target.startsWith("/") ? "/" : current;
      } else current = next;
    }
    return current;
  }

  async run(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<ProgramResult> {
    const [name, ...args] = argv;
    const program = this.table.get(basename(name));
    if (program === undefined) throw new ProgramMissing(name);
    if (LOOKS.test(argv.join(" ")) && this.isBlind()) return failed("it cannot look");
    this.change();
    this.log.push(argv.join(" "));
    const input = options.input === undefined ? "" : Buffer.from(options.input as string).toString("utf8");
    const result = await program(args, input, this);
    return typeof result === "string" ? ok(result) : result;
  }
}

class FakeFiles implements Files {
  readonly #host: FakeHost;
  readonly #locks = new Map<string, Promise<unknown>>();

  constructor(host: FakeHost) {
    this.#host = host;
  }

  #look(path: string, followLast: boolean): Reading<FakeEntry> {
    const why = this.#host.isBlind() ? `${path}: EIO` : this.#host.unreadable.get(path);
    if (why !== undefined) return { state: "unknown", why };
    const resolved = this.#host.resolve(path, followLast);
    const entry = resolved === undefined ? undefined : this.#host.entries.get(resolved);
    return entry === undefined ? ABSENT : found(entry);
  }

  async read(path: string): Promise<Reading<string>> {
    const entry = this.#look(path, true);
    if (entry.state !== "found") return entry;
    if (entry.value.type !== "file") return { state: "unknown", why: `${path}: EISDIR` };
    try {
      return found(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(entry.value.content));
    } catch {
      return { state: "unknown", why: `${path}: not UTF-8` };
    }
  }

  async stat(path: string): Promise<Reading<FileStat>> {
    const entry = this.#look(path, false);
    if (entry.state !== "found") return entry;
    const value = entry.value;
    if (value.type === "link") {
      const sizeBytes = Buffer.byteLength(value.target);
      return found({ type: "link", mode: 0o777, owner: "root", group: "root", sizeBytes, target: value.target });
    }
    const sizeBytes = value.type === "file" ? value.content.length : 4096;
    return found({ type: value.type, mode: value.mode, owner: value.owner, group: value.group, sizeBytes });
  }

  async list(folder: string): Promise<Reading<readonly string[]>> {
    const entry = this.#look(folder, true);
    if (entry.state !== "found") return entry;
    if (entry.value.type !== "folder") return ABSENT;
    const resolved = this.#host.resolve(folder) ?? folder;
    const names = [...this.#host.entries.keys()].filter((path) => path !== "/" && dirname(path) === resolved);
    return found(names.map((path) => basename(path)).sort());
  }

  async hash(path: string): Promise<Reading<string>> {
    const entry = this.#look(path, true);
    if (entry.state !== "found") return entry;
    if (entry.value.type !== "file") return { state: "unknown", why: `${path}: EISDIR` };
    return found(createHash("sha256").update(entry.value.content).digest("hex"));
  }

  async write(path: string, content: string | Uint8Array, owner: FileOwner): Promise<void> {
    this.#host.change();
    const place = this.#place(path);
    if (this.#host.entries.get(place)?.type === "folder") throw new Error(`EISDIR: ${path}`);
    this.#host.put(place, content, owner);
  }

  async makeFolder(path: string, owner: FileOwner): Promise<void> {
    this.#host.change();
    const place = this.#place(path);
    const entry = this.#host.entries.get(place);
    if (entry !== undefined && entry.type !== "folder") throw new Error(`ENOTDIR: ${path}`);
    const { mode } = owner;
    this.#host.entries.set(place, { type: "folder", mode, owner: owner.owner ?? "root", group: owner.group ?? "root" });
  }

  async link(path: string, target: string): Promise<void> {
    this.#host.change();
    const place = this.#place(path);
    if (this.#host.entries.get(place)?.type === "folder") throw new Error(`EISDIR: ${path}`);
    this.#host.entries.set(place, { type: "link", target });
  }

  async move(from: string, to: string): Promise<void> {
    this.#host.change();
    const source = this.#host.resolve(from, false);
    const entry = source === undefined ? undefined : this.#host.entries.get(source);
    if (entry === undefined || source === undefined) throw new Error(`ENOENT: ${from}`);
    const parent = this.#host.resolve(dirname(to));
    if (parent === undefined || !this.#host.entries.has(parent)) throw new Error(`ENOENT: ${to}`);
    const below = [...this.#host.entries].filter(([path]) => path.startsWith(`${source}/`));
    const target = parent === "/" ? `/${basename(to)}` : `${parent}/${basename(to)}`;
    this.#host.entries.delete(source);
    this.#host.entries.set(target, entry);
    for (const [path, value] of below) {
      this.#host.entries.delete(path);
      this.#host.entries.set(target + path.slice(source.length), value);
    }
  }

  async setOwner(path: string, owner: FileOwner): Promise<void> {
    this.#host.change();
    const entry = this.#host.entries.get(this.#host.resolve(path, false) ?? path);
    if (entry === undefined) throw new Error(`ENOENT: ${path}`);
    if (entry.type === "link") throw new Error(`ELOOP: ${path}`);
    entry.mode = owner.mode;
    entry.owner = owner.owner ?? "root";
    entry.group = owner.group ?? "root";
  }

  async remove(path: string): Promise<void> {
    this.#host.change();
    const place = this.#host.resolve(path, false);
    if (place === undefined) return;
    for (const key of this.#host.entries.keys()) {
      if (key === place || key.startsWith(`${place}/`)) this.#host.entries.delete(key);
    }
  }

  async withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
    if (!this.#host.entries.has(path)) await this.write(path, "", { mode: 0o600 });
    const before = this.#locks.get(path) ?? Promise.resolve();
    const done = before.then(work);
    this.#locks.set(
      path,
      done.catch(() => undefined),
    );
    return done;
  }

  /** The path with its folders' links followed; makes missing folders. */
  #place(path: string): string {
    const parent = this.#host.resolve(dirname(path)) ?? dirname(path);
    const place = parent === "/" ? `/${basename(path)}` : `${parent}/${basename(path)}`;
    if (!this.#host.entries.has(parent)) {
      this.#host.put(`${parent}/.`, "");
      this.#host.entries.delete(`${parent}/.`);
    }
    return place;
  }
}
