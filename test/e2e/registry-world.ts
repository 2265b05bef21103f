import { Database } from "bun:sqlite";
import { watchAnswers, type AnswerWatch } from "../../lab/answers.ts";
import { expectSuccess } from "../../lab/jiji.ts";
import type { LabMesh } from "../../lab/mesh.ts";
import { labImage } from "../../lab/server-image.ts";
import { waitFor } from "../../lab/wait.ts";
import { askAgent } from "../../src/system/agent-client.ts";
import type { AgentAnswer, AgentRequest } from "../../src/model/agent-control.ts";

/** What a test of the registry does to a mesh in the lab, and sees of it. */
export class RegistryWorld {
  readonly mesh: LabMesh;

  constructor(mesh: LabMesh) {
    this.mesh = mesh;
  }

  get servers(): readonly string[] {
    return this.mesh.lab.servers.map(({ name }) => name);
  }

  engineOf(server: string): "docker" | "podman" {
    return this.mesh.lab.servers.find(({ name }) => name === server)?.engine === "podman" ? "podman" : "docker";
  }

  /** Runs a program on a server; throws when it fails. Gives its output without the last line's end. */
  async run(server: string, argv: readonly string[], input?: string): Promise<string> {
    const result = await this.mesh.lab.exec(server, argv, {
      timeoutMs: 60_000,
      ...(input === undefined ? {} : { input }),
    });
    return expectSuccess(result, `${server}: ${argv.slice(0, 4).join(" ")}`).stdout.trim();
  }

  engine(server: string, ...argv: readonly string[]): Promise<string> {
    return this.run(server, [this.engineOf(server), ...argv]);
  }

  /** A container on the network `jiji`, named `{project}-{service}-{name}`; gives its id. */
  startContainer(
    server: string,
    name: string,
    options: {
      readonly service: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly flags?: readonly string[];
      readonly image?: string;
      readonly command?: readonly string[];
    },
  ): Promise<string> {
    const given = { "jiji.project": "reg", "jiji.service": options.service, ...options.labels };
    const labels = Object.entries(given).flatMap(([key, value]) => ["--label", `${key}=${value}`]);
    const flags = ["--name", name, "--network", "jiji", ...labels, ...(options.flags ?? [])];
    const command = options.command ?? ["sleep", "2147483647"];
    return this.engine(server, "run", "-d", ...flags, options.image ?? labImage, ...command);
  }

  async addressOf(server: string, container: string): Promise<string> {
    const format = '{{(index .NetworkSettings.Networks "jiji").IPAddress}}';
    return this.engine(server, "inspect", "--format", format, container);
  }

  /** Looks on what a server answers, every 10 ms. */
  watch(server: string, ...services: readonly string[]): Promise<AnswerWatch> {
    const dnsAddress = this.mesh.dnsOf[server] ?? "";
    const names = services.map((service) => nameOf(service));
    return watchAnswers(this.mesh.lab, { server, dnsAddress, names, everyMs: 10 });
  }

  /** Asks a server's agent on its control socket. */
  ask(server: string, request: AgentRequest): Promise<AgentAnswer> {
    return askAgent(`${this.rootOf(server)}/run/jiji/agent/control.sock`, request);
  }

  /** A server's files, with what is mounted inside it, as this machine sees them. */
  rootOf(server: string): string {
    const leader = this.mesh.lab.servers.find(({ name }) => name === server)?.leaderPid() ?? 0;
    return `/proc/${leader}/root`;
  }

  /** Reads a server's store from its file; throws while it is not there. */
  queryFile(server: string, sql: string): readonly (readonly unknown[])[] {
    // not by /proc: SQLite follows the link itself, and ends in this machine's own root
    const root = this.mesh.lab.servers.find(({ name }) => name === server)?.root ?? "";
    const database = new Database(`${root}/opt/jiji/corrosion/state.db`, { readonly: true });
    try {
      return database.query(sql).values();
    } finally {
      database.close();
    }
  }

  /** Writes to a server's own store, as whoever holds its token can. */
  async transact(
    server: string,
    statements: readonly (readonly [sql: string, params: readonly unknown[]])[],
  ): Promise<void> {
    const script =
      'curl -sS -f -H "Authorization: Bearer $(cat /opt/jiji/corrosion/token)" -H "content-type: application/json" ' +
      "--data-binary @- http://127.0.0.1:31220/v1/transactions";
    await this.run(server, ["sh", "-c", script], JSON.stringify(statements));
  }

  /** Processor time that a unit's main process has had, and its memory. */
  async usageOf(
    server: string,
    unit: string,
  ): Promise<{
    readonly atMs: number;
    readonly cpuMs: number;
    readonly residentMb: number;
    readonly anonymousMb: number;
  }> {
    const pid = await this.run(server, ["systemctl", "show", "-p", "MainPID", "--value", unit]);
    const stat = await this.run(server, ["cat", `/proc/${pid}/stat`]);
    const status = await this.run(server, ["cat", `/proc/${pid}/status`]);
    const fields = stat.split(") ")[1]?.split(" ") ?? [];
    const megabytes = (field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) / 1024;
    // in clock ticks, of which Linux has 100 a second (proc(5))
    const cpuMs = (Number(fields[11]) + Number(fields[12])) * 10;
    return { atMs: performance.now(), cpuMs, residentMb: megabytes("VmRSS"), anonymousMb: megabytes("RssAnon") };
  }

  /** Waits until every agent hears every other one and its rows count. */
  async whenWell(timeoutMs = 30_000): Promise<void> {
    for (const server of this.servers) {
      await waitFor(
        async () => {
          const status = await this.ask(server, { type: "status" });
          const done = status.type === "status" && status.settled && status.peers.every(({ counts }) => counts);
          return { done, seen: status };
        },
        { timeoutMs, what: `${server}'s agent to hear the others` },
      );
    }
  }
}

/** The name of a service of the tests' project. */
export function nameOf(service: string): string {
  return `reg-${service}.jiji`;
}
