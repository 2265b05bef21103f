import { runPacketThread } from "../dns/packets/packet-worker.ts";

// The packet thread of jiji-dns: an entry point of its own, so that it is part of the compiled executable.
runPacketThread();
