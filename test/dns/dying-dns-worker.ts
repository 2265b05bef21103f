import { parentPort, workerData } from "node:worker_threads";
import { runPacketThread } from "../../src/dns/packets/packet-worker.ts";
import { CONTROL } from "../../src/dns/packets/worker-protocol.ts";

// A packet thread that says it is ready and ends, the first time, just before it would have told the main thread of a
// question; later it is the real one.
const control = new Int32Array((workerData as { shared: SharedArrayBuffer }).shared, 0, 16);
if (Atomics.add(control, 15, 1) > 0) {
  runPacketThread();
} else {
  Atomics.store(control, CONTROL.isMainCalled, 1);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port is not a window
  parentPort?.postMessage({ type: "ready" });
  setTimeout(() => process.exit(1), 20);
}
