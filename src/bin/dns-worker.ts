// The entry point of jiji-dns' packet thread. It is a file of its own so that it becomes part of the compiled executable.
import { runPacketThread } from "../dns/packets/packet-worker.ts";

runPacketThread();
