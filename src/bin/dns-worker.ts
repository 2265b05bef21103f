// Runs on the packet thread of jiji-dns, of which it is the entry point: so it is part of the compiled executable.
import { runPacketThread } from "../dns/packets/packet-worker.ts";

runPacketThread();
