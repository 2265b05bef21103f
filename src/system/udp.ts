import { bindBatched } from "./batched-udp.ts";
import { datagramProblem } from "./datagram-check.ts";
import type { UdpHandlers, Udp } from "./udp-port.ts";

/** The machine's own sockets. */
export const systemUdp: Udp = {
  async bind(address, port, handlers) {
    const socket = await Bun.udpSocket({ hostname: address, port, socket: callbacks(handlers) });
    return {
      send: (data, toPort, toAddress) => quietly(() => socket.send(data, toPort, toAddress)),
      close: () => socket.close(),
    };
  },
  async bindBatched(address, port, rule, handlers) {
    // Without these calls the process is woken for each datagram, which works and costs more.
    const canBatch = process.platform === "linux" && datagramProblem() === undefined;
    if (!canBatch) return systemUdp.bind(address, port, handlers);
    return bindBatched(address, port, rule, handlers);
  },
  async connect(from, to, port, handlers) {
    const connect = { hostname: to, port };
    const socket = await Bun.udpSocket({ hostname: from, port: 0, connect, socket: callbacks(handlers) });
    return { send: (data) => quietly(() => socket.send(data)), close: () => socket.close() };
  },
};

function callbacks(handlers: UdpHandlers): {
  data(socket: unknown, data: Buffer, port: number, address: string): void;
  error(...values: unknown[]): void;
} {
  return {
    data: (_socket, data, port, address) => handlers.onData(data, port, address, 0),
    // one value with some releases of Bun, the socket first with others
    error: (...values) => {
      const error = values.find((value) => value instanceof Error);
      handlers.onError(error ?? new Error("unknown datagram error"));
    },
  };
}

/** A datagram that cannot leave (no route, no peer, no key) is lost. */
function quietly(send: () => unknown): void {
  try {
    send();
  } catch {
    // lost
  }
}
