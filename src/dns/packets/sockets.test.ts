import { expect, test } from "bun:test";
import { decode, encode } from "dns-packet";
import { systemClock } from "../../system/clock.ts";
import { ProblemLog } from "../telemetry/problem-log.ts";
import { checkDatagramCalls } from "../../system/datagram-check.ts";
import { MMSGHDR } from "../../system/libc.ts";
import { openSockets, type SocketsOptions } from "./sockets.ts";

const isLinux = process.platform === "linux";

// dns-contract: struct-layouts
test.if(isLinux)("layouts of structs that are not the system's are found out before a packet is read with them", () => {
  expect(checkDatagramCalls()).toBeUndefined();
  const layout = MMSGHDR as { length: number };
  const { length } = layout;
  layout.length = MMSGHDR.flags;
  try {
    expect(checkDatagramCalls()).toBe("packet 0 was not read as it was sent");
  } finally {
    layout.length = length;
  }
  expect(checkDatagramCalls()).toBeUndefined();
});

// dns-contract: struct-layouts
test.if(isLinux)(
  "without the calls that the packet thread needs the event loop answers, and that is said",
  async () => {
    const lines: string[] = [];
    const say = (line: string): void => void lines.push(line);
    const options: SocketsOptions = {
      ...{ seed: 1, cluster: { first: 0x0ad20000, prefix: 16 }, table: undefined, networks: [], cache: undefined },
      workerUrl: new URL("../../bin/dns-worker.ts", import.meta.url),
      ...{ environment: {}, pid: process.pid, log: new ProblemLog({ info: say, warn: say }, systemClock) },
      onQuestion: (loop, packet, client) => loop.reply(packet, client),
      mayAsk: () => true,
      answerTcp: async () => undefined,
    };
    const kinds: string[] = [];
    for (const checkCalls of [() => "recvmmsg gave -1 packets of 2", () => undefined]) {
      const sockets = await openSockets(["127.0.0.1:0"], { ...options, checkCalls });
      try {
        kinds.push(sockets.loops[0]!.kind);
        const answer = Promise.withResolvers<Buffer>();
        const { port } = sockets.listening[0]!;
        const socket = await Bun.udpSocket({
          connect: { hostname: "127.0.0.1", port },
          socket: { data: (_socket, packet) => answer.resolve(packet) },
        });
        socket.send(encode({ type: "query", id: 7, questions: [{ type: "A", name: "shop-web.jiji" }] }));
        expect(decode(await answer.promise)).toMatchObject({ id: 7, rcode: "SERVFAIL" });
        socket.close();
      } finally {
        await sockets.close();
      }
    }
    expect(kinds).toEqual(["event loop", "worker"]);
    expect(lines).toEqual([expect.stringContaining("no packet thread: recvmmsg gave -1 packets of 2")]);
  },
);
