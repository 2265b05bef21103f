import { ipv4ToNumber, parseIpv4 } from "../../model/address.ts";
import type { DnsSettings } from "../../model/dns-settings.ts";
import { JijiError, messageOf } from "../../model/errors.ts";
import { datagramProblem } from "../../system/datagram-check.ts";
import { boundAddress, kindOfDescriptor } from "../../system/libc.ts";
import { startMainThreadLoop } from "./main-thread-loop.ts";
import type { PacketLoop, PacketLoopOptions, Client } from "./packet-loop.ts";
import type { ProblemLog } from "../telemetry/problem-log.ts";
import { startTcpService, type TcpService } from "./tcp-service.ts";
import { startWorkerLoop } from "./worker-loop.ts";

export interface SocketsOptions extends Pick<PacketLoopOptions, "seed" | "cluster" | "table" | "networks" | "cache"> {
  readonly workerUrl: URL | undefined;
  /** says what is wrong with the calls that the packet thread needs; then there is none */
  readonly checkCalls?: () => string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly log: ProblemLog;
  readonly onQuestion: (loop: PacketLoop, packet: Uint8Array, client: Client) => void;
  readonly mayAsk: (address: number) => boolean;
  readonly answerTcp: (message: Uint8Array, address: number) => Promise<Uint8Array | undefined>;
}

type Place = { readonly host: string; readonly port: number };

/** Tries to find a port that is free for UDP and TCP alike. */
const PORT_TRIES = 20;

/**
 * Opens what the settings say: the sockets that systemd handed over, or UDP and TCP on each address. Throws a
 * {@link JijiError} when something cannot be opened; then nothing stays open.
 */
export async function openSockets(listen: DnsSettings["listen"], options: SocketsOptions): Promise<OpenSockets> {
  const sockets = new OpenSockets(options);
  try {
    if (listen === "inherit") await sockets.inherit();
    else for (const text of listen) await sockets.bind(text);
  } catch (error) {
    await sockets.close();
    if (error instanceof JijiError) throw error;
    throw new JijiError("conflict", `cannot listen: ${messageOf(error)}`, {
      hint: "see what holds the address with ss -lunpt, or choose another with --listen",
      cause: error,
    });
  }
  return sockets;
}

/** Everything that is listened on. */
export class OpenSockets {
  readonly loops: PacketLoop[] = [];
  readonly services: TcpService[] = [];
  readonly listening: (Place & { readonly protocol: "udp" | "tcp" })[] = [];
  readonly #options: SocketsOptions;

  constructor(options: SocketsOptions) {
    this.#options = options;
  }

  async inherit(): Promise<void> {
    const { environment, pid } = this.#options;
    const inherited = process.platform === "linux" ? inheritedSockets(environment, pid) : [];
    if (inherited.length === 0) {
      throw new JijiError("config", "no sockets were handed over", {
        hint: "start it by jiji-dns.socket, or give --listen",
      });
    }
    for (const { descriptor, kind, host, port } of inherited) {
      if (kind === "datagram") await this.#openLoop({ descriptor }, true);
      else await this.#openService({ descriptor }, { host, port });
    }
  }

  async bind(text: string): Promise<void> {
    const [host = "", portText] = text.split(":");
    const address = parseIpv4(host);
    if (address === undefined) throw new TypeError(`not an address to listen on: ${text}`);
    const wanted = Number(portText);
    for (let tries = 1; ; tries++) {
      const loop = await this.#openLoop({ address: ipv4ToNumber(address), port: wanted }, false);
      try {
        await this.#openService({ host, port: loop.port }, { host, port: loop.port });
        return;
      } catch (error) {
        if (wanted !== 0 || tries === PORT_TRIES) throw error;
        this.loops.pop();
        this.listening.pop();
        await loop.close();
      }
    }
  }

  /** Reads no more questions; those that were read are still answered. */
  async stop(): Promise<void> {
    await Promise.all(this.loops.map((loop) => loop.stop()));
    await Promise.all(this.services.map((service) => service.close()));
  }

  async close(): Promise<void> {
    await Promise.all(this.services.map((service) => service.close()));
    await Promise.all(this.loops.map((loop) => loop.close()));
  }

  async #openLoop(socket: PacketLoopOptions["socket"], isInherited: boolean): Promise<PacketLoop> {
    const { log, onQuestion, workerUrl, checkCalls } = this.#options;
    const started: { loop?: PacketLoop } = {};
    const options: PacketLoopOptions = {
      ...this.#options,
      socket,
      onQuestion: (packet, client) => {
        if (started.loop !== undefined) onQuestion(started.loop, packet, client);
      },
      onProblem: (text) => log.warn("packets", text),
    };
    const why =
      workerUrl === undefined || process.platform !== "linux" ? "not asked for" : (checkCalls ?? datagramProblem)();
    if (why !== undefined && isInherited) throw new Error(`the inherited socket cannot be used: ${why}`);
    if (why !== undefined && why !== "not asked for") log.warn("packets", `no packet thread: ${why}`);
    const loop =
      why === undefined ? await startWorkerLoop(options, workerUrl as URL) : await startMainThreadLoop(options);
    started.loop = loop;
    this.loops.push(loop);
    this.listening.push({ host: loop.host, port: loop.port, protocol: "udp" });
    return loop;
  }

  async #openService(socket: { readonly descriptor: number } | Place, place: Place): Promise<void> {
    const { mayAsk, answerTcp } = this.#options;
    this.services.push(await startTcpService({ socket, mayAsk, answer: answerTcp }));
    this.listening.push({ ...place, protocol: "tcp" });
  }
}

/** A socket that systemd has opened for this process. */
interface InheritedSocket {
  readonly descriptor: number;
  readonly kind: "datagram" | "stream";
  readonly host: string;
  readonly port: number;
}

/** The first one, SD_LISTEN_FDS_START (sd_listen_fds(3)). */
const FIRST_DESCRIPTOR = 3;

/** More than systemd would ever hand over. */
const MAX_DESCRIPTORS = 64;

/**
 * The bound IPv4 sockets that were handed over by LISTEN_PID and LISTEN_FDS; empty when none were, or when they are for
 * another process. Throws when one of them is anything else.
 */
function inheritedSockets(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): readonly InheritedSocket[] {
  const count = Number(environment["LISTEN_FDS"] ?? 0);
  if (environment["LISTEN_PID"] !== String(pid) || !Number.isInteger(count) || count < 0) return [];
  return Array.from({ length: Math.min(count, MAX_DESCRIPTORS) }, (_, index) => {
    const descriptor = FIRST_DESCRIPTOR + index;
    const kind = kindOfDescriptor(descriptor);
    if (kind === "other") throw new Error(`inherited descriptor ${descriptor} is no bound socket`);
    return { descriptor, kind, ...boundAddress(descriptor) };
  });
}
