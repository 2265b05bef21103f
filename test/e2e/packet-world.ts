import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expectSuccess } from "../../lab/jiji.ts";
import type { ExecResult, Lab } from "../../lab/lab.ts";
import { labImage } from "../../lab/server-image.ts";
import { waitFor } from "../../lab/wait.ts";

export type Engine = "docker" | "podman";

/** The ports on which servers trust each other by address alone. */
export const TRUSTING_PORTS = [31280, 31281, 31282] as const;

const TOOLS = join(import.meta.dir, "packet-tools");

/** Every port and protocol of {@link TRUSTING_PORTS} on an address, as say.py takes them. */
export function trustingPortsOf(address: string): string[] {
  return TRUSTING_PORTS.flatMap((port) => [`udp:${address}:${port}`, `tcp:${address}:${port}`]);
}

/** Servers with programs that send and hear packets, in place of the services that use jiji's ports. */
export class PacketWorld {
  readonly lab: Lab;
  /** server → its .1 */
  readonly #addresses = new Map<string, string>();
  #controls = 0;

  constructor(lab: Lab) {
    this.lab = lab;
  }

  async run(server: string, ...argv: readonly string[]): Promise<ExecResult> {
    return this.lab.exec(server, argv, { timeoutMs: 60_000 });
  }

  async must(server: string, ...argv: readonly string[]): Promise<string> {
    return expectSuccess(await this.run(server, ...argv), `${server}: ${argv.join(" ")}`).stdout.trim();
  }

  async bringTools(server: string): Promise<void> {
    for (const name of ["listen.py", "say.py", "scan.py", "forge.py", "cry.py"]) {
      const input = readFileSync(join(TOOLS, name), "utf8");
      const path = `/usr/local/lib/${name}`;
      expectSuccess(await this.lab.exec(server, ["sh", "-c", 'cat > "$1"', "write", path], { input }), path);
    }
  }

  async hardwareAddress(server: string, device: string): Promise<string> {
    const shown = await this.must(server, "ip", "-o", "link", "show", "dev", device);
    const address = /link\/ether (\S+)/.exec(shown)?.[1];
    if (address === undefined) throw new Error(`${server}: ${shown}`);
    return address;
  }

  /** A member's .1, read from its tunnel once. */
  async addressOf(server: string): Promise<string> {
    const known = this.#addresses.get(server);
    if (known !== undefined) return known;
    const shown = await this.must(server, "ip", "-4", "-o", "address", "show", "dev", "jiji0");
    const address = /inet ([0-9.]+)\/32/.exec(shown)?.[1];
    if (address === undefined) throw new Error(`${server} has no address on jiji0`);
    this.#addresses.set(server, address);
    return address;
  }

  /** Stops what speaks on the trusting ports and hears there itself, as the users that would. */
  async listenInPlace(server: string): Promise<void> {
    await this.run(server, "systemctl", "stop", "jiji-agent.service", "jiji-corrosion.service");
    const address = await this.addressOf(server);
    await this.must(server, "sh", "-c", "rm -f /tmp/heard-*; install -m 666 /dev/null /tmp/heard-gossip");
    const start = async (name: string, user: string, ports: readonly number[]): Promise<void> => {
      const unit = `heard-${name}`;
      await this.run(server, "systemctl", "stop", unit);
      await this.must(
        server,
        ...["systemd-run", `--unit=${unit}`, `--uid=${user}`, "--collect"],
        ...["python3", "/usr/local/lib/listen.py", `/tmp/${unit}`, address, ...ports.map(String)],
      );
      await waitFor(async () => (await this.must(server, "cat", `/tmp/${unit}`)).includes("ready"), {
        timeoutMs: 10_000,
        what: `${server} to listen as ${user}`,
      });
    };
    await start("gossip", "jiji-corrosion", [31280]);
    await start("agent", "root", [31281, 31282]);
  }

  /** Gives the ports back, as setup refuses them to strangers. */
  async stopListening(server: string): Promise<void> {
    await this.run(server, "systemctl", "stop", "heard-gossip", "heard-agent");
  }

  /** All lines that were heard on a server's trusting ports. */
  async heard(server: string): Promise<string[]> {
    const text = await this.must(server, "sh", "-c", "cat /tmp/heard-gossip /tmp/heard-agent");
    return text.split("\n").filter((line) => line !== "" && line !== "ready");
  }

  async forget(server: string): Promise<void> {
    await this.must(server, "sh", "-c", ": > /tmp/heard-gossip; : > /tmp/heard-agent");
  }

  /**
   * What `server` has heard since the last call, once root on `from` has been heard there: whatever was sent before had
   * the same way to go.
   */
  async heardBesides(server: string, from: string): Promise<string[]> {
    this.#controls += 1;
    const text = `control${this.#controls}`;
    const target = `udp:${await this.addressOf(server)}:31281`;
    await waitFor(
      async () => {
        await this.must(from, "python3", "/usr/local/lib/say.py", text, target);
        return (await this.heard(server)).some((line) => line.endsWith(text));
      },
      { timeoutMs: 20_000, what: `${server} to hear ${from}`, intervalMs: 200 },
    );
    const lines = await this.heard(server);
    await this.forget(server);
    return lines.filter((line) => !/ control[0-9]+$/.test(line));
  }

  /** Says something on a server itself; gives say.py's lines. */
  async say(server: string, user: string, text: string, targets: readonly string[]): Promise<string[]> {
    const argv = ["setpriv", `--reuid=${user}`, "--clear-groups", "python3", "/usr/local/lib/say.py", text, ...targets];
    return (await this.must(server, ...argv)).split("\n");
  }

  /** Says something as root of a container: in its network namespace, with all that it may do there. */
  async sayInside(
    server: string,
    engine: Engine,
    name: string,
    text: string,
    targets: readonly string[],
  ): Promise<string[]> {
    const inside = await this.enter(server, engine, name);
    return (await this.must(server, ...inside, "python3", "/usr/local/lib/say.py", text, ...targets)).split("\n");
  }

  /** The beginning of a command line that runs what follows in a container's network namespace. */
  async enter(server: string, engine: Engine, name: string): Promise<readonly string[]> {
    const pid = await this.must(server, engine, "inspect", "--format", "{{.State.Pid}}", name);
    return ["nsenter", "--target", pid, "--net"];
  }

  /** A container that sleeps, or serves its own name over HTTP on port 80, on these networks. */
  async container(
    server: string,
    engine: Engine,
    name: string,
    networks: readonly string[],
    options: readonly string[] = [],
  ): Promise<void> {
    const [first = "jiji", ...others] = networks;
    const serve = 'mkdir -p /www && echo "$0" > /www/index.html && exec httpd -f -p 80 -h /www';
    const flags = ["--name", name, "--network", first, ...options];
    await this.must(server, engine, "run", "-d", ...flags, labImage, "sh", "-c", serve, name);
    for (const network of others) await this.must(server, engine, "network", "connect", network, name);
  }

  /** The container's address on a network. */
  async containerAddress(server: string, engine: Engine, name: string, network: string): Promise<string> {
    const format = `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
    return this.must(server, engine, "inspect", "--format", format, name);
  }
}
