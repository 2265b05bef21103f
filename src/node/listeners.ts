import { serverAddress } from "../model/cluster.ts";
import { JijiError } from "../model/errors.ts";
import type { Listener } from "../model/node/observe.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { INTERFACE, PORTS } from "../model/ports.ts";
import type { Reading } from "../model/reading.ts";
import type { Files, Host } from "../system/host.ts";
import { runChecked } from "../apply/programs.ts";

/** One line of `ss`, with the processes that hold the socket; none for a socket of the kernel's. */
export interface ListeningSocket extends Omit<Listener, "program"> {
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
}

const NEEDED = new Set<number>(Object.values(PORTS));

/** A process whose program lies here is jiji's own. */
const OWN_FOLDER = "/opt/jiji/";

/** Which programs, other than jiji's own, listen on ports that jiji needs. Throws when that cannot be seen. */
export async function observeListeners(host: Host, spec: Reading<NodeSpec>): Promise<readonly Listener[]> {
  const { stdout } = await runChecked(host, ["ss", "--no-header", "--tcp", "--udp", "--listening", "--numeric", "-p"], {
    hint: "install iproute2 on the server",
  });
  const own = spec.state === "found" ? serverAddress(spec.value.cluster.cidr, spec.value.subnet) : undefined;
  const listeners: Listener[] = [];
  for (const socket of parseListeningSockets(stdout)) {
    if (!NEEDED.has(socket.port)) continue;
    if (await isOwn(host, socket, own)) continue;
    const { processes, ...rest } = socket;
    const names = [...new Set(processes.map(({ name }) => name))].join(", ");
    listeners.push({ ...rest, program: names === "" && socket.port === PORTS.wireguard ? "WireGuard" : names });
  }
  return listeners;
}

/** Reads `ss -Htulnp`: protocol, state, two queues, local address:port, peer, and perhaps `users:(("name",pid=1,fd=2))`. */
export function parseListeningSockets(text: string): readonly ListeningSocket[] {
  return text.split("\n").flatMap((line): ListeningSocket[] => {
    const [protocol, , , , local = "", , ...users] = line.trim().split(/\s+/);
    if (protocol !== "udp" && protocol !== "tcp") return [];
    const at = local.lastIndexOf(":");
    const port = Number(local.slice(at + 1));
    if (at < 0 || !Number.isInteger(port)) throw new JijiError("remote", `ss printed something unexpected: ${line}`);
    const address = local
      .slice(0, at)
      .replace(/%[^\]]*/, "")
      .replace(/^\[(.*)\]$/, "$1");
    const processes = [...users.join(" ").matchAll(/\("((?:[^"\\]|\\.)*)",pid=(\d+)/g)].map(([, name = "", pid]) => ({
      name,
      pid: Number(pid),
    }));
    return [{ protocol, address, port, processes }];
  });
}

async function isOwn(host: Host, socket: ListeningSocket, own: string | undefined): Promise<boolean> {
  if (own === undefined) return false;
  // the kernel's tunnel has no process; wireguard-go takes its place on kernels without WireGuard
  if (socket.port === PORTS.wireguard) return isOwnTunnel(host, socket);
  // systemd holds jiji-dns's port open
  if (socket.port === PORTS.dns && socket.address === own) {
    if (socket.processes.some(({ name }) => name === "systemd")) return true;
  }
  for (const { pid } of socket.processes) if (await runsFrom(host.files, pid)) return true;
  return false;
}

async function isOwnTunnel(host: Host, { processes }: ListeningSocket): Promise<boolean> {
  if (processes.some(({ name }) => name !== "wireguard-go")) return false;
  const result = await host.programs.run(["wg", "show", INTERFACE, "listen-port"]).catch(() => undefined);
  return result?.code === 0 && Number(result.stdout.trim()) === PORTS.wireguard;
}

async function runsFrom(files: Files, pid: number): Promise<boolean> {
  const exe = await files.stat(`/proc/${pid}/exe`);
  return exe.state === "found" && (exe.value.target ?? "").startsWith(OWN_FOLDER);
}
