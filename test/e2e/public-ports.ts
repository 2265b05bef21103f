import { PORTS } from "../../src/model/ports.ts";
import type { PacketWorld } from "./packet-world.ts";

/** What a stranger finds at a server's public address. */
export interface PublicPorts {
  /** "tcp 22": it accepted a connection, or answered a packet */
  readonly open: readonly string[];
  /** "udp 31820": a socket that is new since jiji came, and not bound to the cluster or to loopback */
  readonly added: readonly string[];
}

/** Sockets that listen, as "udp 0.0.0.0:53". */
export async function listeners(world: PacketWorld, server: string): Promise<ReadonlySet<string>> {
  const text = await world.must(server, "ss", "-Hlntu");
  const lines = text.split("\n").map((line) => line.trim().split(/\s+/));
  return new Set(lines.map((fields) => `${fields[0]} ${fields[4]}`));
}

/**
 * Tries every TCP port of a server from a stranger's place, and all ports of jiji's over UDP; closed UDP ports are told too
 * slowly to try them all, so the rest is what the server itself says that it listens on, compared with before jiji.
 */
export async function scanFrom(
  world: PacketWorld,
  stranger: string,
  server: string,
  before: ReadonlySet<string>,
): Promise<PublicPorts> {
  const address = world.lab.servers.find(({ name }) => name === server)?.address ?? "";
  const ports = Object.values(PORTS).filter((port) => port !== PORTS.wireguard);
  const argv = ["python3", "/usr/local/lib/scan.py", address, ...ports.map(String)];
  const open = (await world.must(stranger, ...argv)).split("\n");
  const fresh = [...(await listeners(world, server))].filter((socket) => !before.has(socket));
  const isPublic = (socket: string): boolean => !/ (127\.|\[::1\]|10\.210\.)/.test(socket);
  const added = fresh.filter(isPublic).map((socket) => `${socket.split(" ")[0]} ${socket.split(":").at(-1)}`);
  return { open, added: [...new Set(added)].toSorted() };
}
