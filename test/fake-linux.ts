import { failed, ok, type FakeHost, type FakeProgram } from "./fake-host.ts";

/** The part of a Linux server that general kinds of resources touch: packages, accounts, systemd. */
export class FakeLinux {
  readonly host: FakeHost;
  /** unit → what it read when it was started; a unit that is not there is not running */
  readonly running = new Map<string, string>();
  /** unit files as systemd read them last */
  readonly loaded = new Map<string, string>();
  /** unit → files that it reads when it starts */
  readonly reads: ReadonlyMap<string, readonly string[]>;
  /** units that fail to start, with the reason */
  readonly broken = new Map<string, string>();

  constructor(host: FakeHost, reads: Readonly<Record<string, readonly string[]>> = {}) {
    this.host = host;
    this.reads = new Map(Object.entries(reads));
    host.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
    host.put("/etc/group", "root:x:0:\n");
    host.put("/etc/shadow", "root:*:1:::::::\n", { mode: 0o640 });
    host.put("/usr/bin/apt-get", "");
    host.put("/usr/sbin/nologin", "");
    const programs: Record<string, FakeProgram> = {
      env: (args, input) => this.#env(args, input),
      "apt-get": (args) => this.#apt(args),
      dpkg: (args) => this.#dpkg(args),
      "dpkg-query": (args) => (host.table.has(PROGRAM_OF[args.at(-1) ?? ""] ?? "") ? ok("installed") : failed("none")),
      "systemd-sysusers": () => this.#sysusers(),
      userdel: (args) => this.#removeAccount(args[0] ?? "", true),
      groupdel: (args) => this.#removeAccount(args[0] ?? "", false),
      systemctl: (args) => this.#systemctl(args),
      journalctl: () => ok("the journal's last words\n"),
      wg: () => ok("wireguard-tools v1\n"),
      nft: () => ok("nftables v1\n"),
    };
    for (const [name, program] of Object.entries(programs)) host.table.set(name, program);
  }

  /** As if the power had gone and come back: /run is empty, what is enabled is started. */
  reboot(): void {
    for (const path of this.host.entries.keys()) if (path.startsWith("/run/")) this.host.entries.delete(path);
    this.running.clear();
    this.#reload();
    for (const unit of this.loaded.keys()) if (this.#isEnabled(unit)) this.#start(unit);
  }

  /** Units that run with something else than what is on disk now. */
  stale(): string[] {
    return [...this.running].filter(([unit, read]) => read !== this.#readNow(unit)).map(([unit]) => unit);
  }

  #env(args: readonly string[], input: string): Promise<ReturnType<typeof ok>> {
    const rest = args.slice(args.findIndex((arg) => !arg.includes("=")));
    return this.host.run(rest as [string, ...string[]], { input });
  }

  #apt(args: readonly string[]): ReturnType<typeof ok> {
    const at = args.indexOf("install");
    const missing = args.slice(at + 1).filter((name) => !name.startsWith("-") && !this.#has(name));
    if (args.includes("--simulate")) return ok(missing.map((name) => `Inst ${name} (1.0 Debian [amd64])\n`).join(""));
    if (!this.host.entries.has("/usr/sbin/policy-rc.d")) throw new Error("services could start");
    for (const name of missing) {
      const program = PROGRAM_OF[name];
      if (program === undefined) return failed(`E: Unable to locate package ${name}`, 100);
      this.host.table.set(program, () => ok(`${program} v1\n`));
      this.host.put(`/usr/bin/${program}`, "", { mode: 0o755 });
    }
    return ok();
  }

  #dpkg(args: readonly string[]): ReturnType<typeof ok> {
    for (const name of args.slice(1)) {
      const program = PROGRAM_OF[name];
      if (program === undefined) return failed("unknown package");
      this.host.table.delete(program);
      this.host.entries.delete(`/usr/bin/${program}`);
    }
    return ok();
  }

  #has(name: string): boolean {
    return this.host.table.has(PROGRAM_OF[name] ?? "");
  }

  #editAccounts(file: string, edit: (text: string) => string): void {
    const path = `/etc/${file}`;
    const before = this.host.text(path);
    const entry = this.host.entries.get(path);
    const mode = entry?.type === "file" ? entry.mode : 0o644;
    this.host.put(`${path}-`, before, { mode });
    this.host.put(path, edit(before), { mode });
    this.host.put("/etc/.pwd.lock", "", { mode: 0o600 });
  }

  #sysusers(): ReturnType<typeof ok> {
    for (const line of this.host.text("/etc/sysusers.d/jiji.conf").split("\n")) {
      const [type, name = ""] = line.split(" ");
      if (type !== "u" && type !== "g") continue;
      if (!this.#hasAccount("group", name)) this.#editAccounts("group", (text) => `${text}${name}:x:99:\n`);
      if (type === "g" || this.#hasAccount("passwd", name)) continue;
      this.#editAccounts("passwd", (text) => `${text}${name}:x:99:99::/:/usr/sbin/nologin\n`);
      this.#editAccounts("shadow", (text) => `${text}${name}:!*:1:::::::\n`);
    }
    return ok();
  }

  #hasAccount(file: string, name: string): boolean {
    return this.host
      .text(`/etc/${file}`)
      .split("\n")
      .some((line) => line.startsWith(`${name}:`));
  }

  #removeAccount(name: string, isUser: boolean): ReturnType<typeof ok> {
    const files = isUser ? ["passwd", "shadow", "group"] : ["group"];
    if (!this.#hasAccount(files[0] ?? "", name)) return failed(`'${name}' does not exist`, 6);
    for (const file of files) {
      this.#editAccounts(file, (text) => text.replaceAll(new RegExp(`^${name}:.*\n`, "gm"), ""));
    }
    return ok();
  }

  #systemctl(args: readonly string[]): ReturnType<typeof ok> {
    const [verb, ...rest] = args;
    const unit = rest.find((arg) => /\.(service|socket)$/.test(arg)) ?? "";
    if (verb === "daemon-reload") this.#reload();
    else if (verb === "show") return ok(this.#show(unit));
    else if (verb === "enable") return this.#enable(unit);
    else if (verb === "disable") {
      if (this.#fileOf(unit) === undefined) return failed(`Unit file ${unit} does not exist.`);
      this.host.entries.delete(wantsLink(unit));
      this.#removeIfEmpty("/etc/systemd/system/multi-user.target.wants");
      if (rest.includes("--now")) this.running.delete(unit);
    } else if (verb === "stop") for (const each of rest) this.running.delete(each);
    else if (verb === "start" || verb === "restart") return this.#start(unit);
    else if (verb !== "reset-failed") throw new Error(`systemctl ${args.join(" ")}`);
    return ok();
  }

  #reload(): void {
    this.loaded.clear();
    for (const path of this.host.entries.keys()) {
      const unit = /^\/etc\/systemd\/system\/([^/]+\.(?:service|socket))$/.exec(path)?.[1];
      if (unit !== undefined) this.loaded.set(unit, this.host.text(path));
    }
  }

  #fileOf(unit: string): string | undefined {
    // systemd reads a file that it has not seen yet when somebody asks for the unit
    const path = `/etc/systemd/system/${unit}`;
    if (!this.loaded.has(unit) && this.host.entries.has(path)) this.loaded.set(unit, this.host.text(path));
    return this.loaded.get(unit);
  }

  #isEnabled(unit: string): boolean {
    return this.host.entries.has(wantsLink(unit));
  }

  #show(unit: string): string {
    if (this.#fileOf(unit) === undefined) return "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n";
    const active = this.running.has(unit) ? "active" : "inactive";
    return `LoadState=loaded\nActiveState=${active}\nUnitFileState=${this.#isEnabled(unit) ? "enabled" : "disabled"}\n`;
  }

  #enable(unit: string): ReturnType<typeof ok> {
    if (this.#fileOf(unit) === undefined) return failed(`Unit file ${unit} does not exist.`);
    this.host.put("/etc/systemd/system/multi-user.target.wants/.", "");
    this.host.entries.delete("/etc/systemd/system/multi-user.target.wants/.");
    this.host.entries.set(wantsLink(unit), { type: "link", target: `/etc/systemd/system/${unit}` });
    return ok();
  }

  #start(unit: string): ReturnType<typeof ok> {
    const why = this.broken.get(unit);
    if (why !== undefined) return failed(why);
    if (this.#fileOf(unit) === undefined) return failed(`Unit ${unit} not found.`, 5);
    // a socket whose service runs cannot be started again
    if (unit.endsWith(".socket") && this.running.has(unit.replace(".socket", ".service"))) return failed("refusing");
    this.running.set(unit, this.#readNow(unit));
    return ok();
  }

  #readNow(unit: string): string {
    const texts = (this.reads.get(unit) ?? []).map((path) => {
      const entry = this.host.entries.get(path);
      return entry?.type === "file" ? entry.content.toString("utf8") : "missing";
    });
    return JSON.stringify([this.#fileOf(unit) ?? "gone", ...texts]);
  }

  #removeIfEmpty(folder: string): void {
    if (![...this.host.entries.keys()].some((path) => path.startsWith(`${folder}/`))) this.host.entries.delete(folder);
  }
}

const PROGRAM_OF: Readonly<Record<string, string>> = { "wireguard-tools": "wg", nftables: "nft" };

function wantsLink(unit: string): string {
  return `/etc/systemd/system/multi-user.target.wants/${unit}`;
}
