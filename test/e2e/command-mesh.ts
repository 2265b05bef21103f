import { findCorrosion } from "../../lab/corrosion-choice.ts";
import { expectSuccess, runJiji, writeDeployFile } from "../../lab/jiji.ts";
import { startLab, type ExecResult, type Lab } from "../../lab/lab.ts";
import { labImage } from "../../lab/server-image.ts";
import { waitFor } from "../../lab/wait.ts";
import { addressesOf } from "../../lab/workload.ts";
import { buildExecutable } from "../../tools/build.ts";

/** Three servers of one generation, both engines, real Corrosion: what commands need to be seen at work. */
const SERVERS = [
  { name: "web1", release: "trixie", engine: "docker" },
  { name: "home", release: "trixie", engine: "podman" },
  { name: "db1", release: "trixie", engine: "docker" },
] as const;

export type ServerName = (typeof SERVERS)[number]["name"];

/** A container of the mesh; what is left out it does not have. */
export interface MeshContainer {
  readonly server: ServerName;
  readonly name: string;
  readonly project?: string;
  readonly service?: string;
  readonly instance?: string;
  /** default: jiji */
  readonly network?: string;
  /** the command of a HEALTHCHECK, made every second; default: none */
  readonly healthCommand?: string;
}

/** A mesh in the lab and what tests of commands do with it. */
export class CommandMesh {
  readonly lab: Lab;
  /** server → its .1 */
  readonly addresses: Readonly<Record<string, string>>;

  constructor(lab: Lab, addresses: Readonly<Record<string, string>>) {
    this.lab = lab;
    this.addresses = addresses;
  }

  /** A command of the operator, whatever its exit code. */
  async jiji(...argv: readonly string[]): Promise<ExecResult> {
    return runJiji(this.lab, argv);
  }

  /** The same for `--json`; fails when the exit code is another. */
  async json<T>(code: number, ...argv: readonly string[]): Promise<T> {
    const result = expectSuccess(await this.jiji(...argv, "--json"), `jiji ${argv.join(" ")}`, [code]);
    return JSON.parse(result.stdout) as T;
  }

  /** A program on a server, as root; gives its standard output. */
  async on(server: ServerName, ...argv: readonly string[]): Promise<string> {
    return expectSuccess(await this.lab.exec(server, argv), `${server}: ${argv.join(" ")}`).stdout.trim();
  }

  engineOf(server: ServerName): "docker" | "podman" {
    return SERVERS.find(({ name }) => name === server)?.engine ?? "docker";
  }

  /** Starts a container that sleeps; gives its full id. */
  async start(container: MeshContainer): Promise<string> {
    const { server, name, project, service, instance, network = "jiji", healthCommand } = container;
    const labels = Object.entries({ project, service, instance }).flatMap(([key, value]) =>
      value === undefined ? [] : ["--label", `jiji.${key}=${value}`],
    );
    const health =
      healthCommand === undefined
        ? []
        : ["--health-cmd", healthCommand, "--health-interval", "1s", "--health-retries", "1"];
    return this.on(
      server,
      ...[this.engineOf(server), "run", "-d", "--name", name, "--network", network],
      ...[...labels, ...health, labImage, "sleep", "100000"],
    );
  }

  /** What a server's jiji-dns answers, asked with dig. */
  async answers(server: ServerName, name: string): Promise<readonly string[]> {
    return addressesOf(this.lab, server, this.addresses[server] ?? "", name);
  }

  /** Waits until a command ends with this exit code and its standard output fits. */
  async until(argv: readonly string[], code: number, fits: (stdout: string) => boolean): Promise<ExecResult> {
    return waitFor(
      async () => {
        const result = await this.jiji(...argv);
        if (result.code === code && fits(result.stdout)) return result;
        throw new Error(`exit ${result.code}\n${result.stdout}\n${result.stderr}`);
      },
      { timeoutMs: 45_000, what: `jiji ${argv.join(" ")} to end with ${code}`, intervalMs: 200 },
    );
  }

  /** Lets no packet of the tunnels in or out; the operator still comes in. */
  async cutTunnels(server: ServerName): Promise<void> {
    for (const chain of ["INPUT", "OUTPUT"]) {
      await this.on(server, "iptables", "-I", chain, "-p", "udp", "--dport", "31820", "-j", "DROP");
    }
  }

  async healTunnels(server: ServerName): Promise<void> {
    for (const chain of ["INPUT", "OUTPUT"]) {
      await this.on(server, "iptables", "-D", chain, "-p", "udp", "--dport", "31820", "-j", "DROP");
    }
  }
}

/** Builds, brings the servers up and sets the network up. */
export async function startCommandMesh(): Promise<CommandMesh> {
  const said: string[] = [];
  const corrosion = await findCorrosion((line) => said.push(line));
  if (corrosion.kind !== "binary") throw new Error(`these tests need Corrosion: ${said.join(" ")}`);
  await buildExecutable({});
  const lab = await startLab({ servers: SERVERS });
  try {
    writeDeployFile(lab, { project: "shop", ssh: { timeout: 3000 } });
    const setup = ["network", "setup", "--yes", "--corrosion-binary", corrosion.path];
    expectSuccess(await runJiji(lab, setup), "setup");
    const addresses: Record<string, string> = {};
    for (const { name } of SERVERS) {
      const shown = await lab.exec(name, ["ip", "-4", "-o", "address", "show", "dev", "jiji0"]);
      addresses[name] = /inet ([0-9.]+)/.exec(shown.stdout)?.[1] ?? "";
    }
    return new CommandMesh(lab, addresses);
  } catch (error) {
    await lab.down();
    throw error;
  }
}
