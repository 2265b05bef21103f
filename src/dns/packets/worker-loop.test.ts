import { ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { bindDatagram, closeDescriptor, libc } from "../../system/libc.ts";
import { startWorkerLoop } from "./worker-loop.ts";

const [SOL_SOCKET, SO_RCVBUF] = [1, 8];

function receiveBuffer(descriptor: number): number {
  const bytes = Int32Array.of(0);
  libc().getsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, ptr(bytes), ptr(Int32Array.of(4)));
  return bytes[0] ?? 0;
}

// systemd gives it more than this user may ask for, and asking again would give that up (socket(7), SO_RCVBUFFORCE).
test.if(process.platform === "linux")(
  "an inherited socket keeps its buffers, and its thread has a number",
  async () => {
    const descriptor = bindDatagram(0x7f000001, 0);
    libc().setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, ptr(Int32Array.of(50_000)), 4);
    const before = receiveBuffer(descriptor);
    const loop = await startWorkerLoop(
      {
        socket: { descriptor },
        seed: 1,
        cluster: { first: 0x0ad20000, prefix: 16 },
        table: undefined,
        networks: [],
        onQuestion: () => undefined,
        onProblem: () => undefined,
      },
      new URL("../../bin/dns-worker.ts", import.meta.url),
    );
    const after = receiveBuffer(descriptor);
    const { thread } = loop;
    await loop.close();
    closeDescriptor(descriptor);
    expect(before).toBeGreaterThanOrEqual(50_000);
    expect(after).toBe(before);
    expect(thread).toBeGreaterThan(0);
    expect(thread).not.toBe(process.pid);
  },
);
