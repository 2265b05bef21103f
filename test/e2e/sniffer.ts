import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startDetached } from "../../lab/detached.ts";
import { namespaceName } from "../../lab/namespaces.ts";
import { waitFor } from "../../lab/wait.ts";
import type { PacketWorld } from "./packet-world.ts";

/** Hears every packet about the cluster that a server sends in the clear. */
export interface Sniffer {
  /** all of them so far, and surely all */
  lines(): Promise<string[]>;
  stop(): void;
}

/** Listens on the lab's switch to what one server sends. */
export async function sniff(world: PacketWorld, server: string): Promise<Sniffer> {
  const { lab } = world;
  const log = join(lab.directory, `sniff-${server}.log`);
  rmSync(log, { force: true });
  // not from /sys, which does not show a lab server's own network
  const hardware = await world.hardwareAddress(server, "eth0");
  const argv = ["ip", "netns", "exec", namespaceName(lab.id, "switch")];
  const tool = join(import.meta.dir, "packet-tools", "sniff.py");
  const child = await startDetached([...argv, "python3", tool, log, "br0", "10.210."], { log: `${log}.err` });
  const read = (): string[] => readFileSync(log, "utf8").split("\n");
  await waitFor(() => read().includes("ready"), { timeoutMs: 10_000, what: "the sniffer" });
  let controls = 0;
  return {
    // a frame of the server's own that is seen shows that everything before it would have been
    lines: async () => {
      controls += 1;
      const control = `10.210.250.${controls}`;
      await waitFor(
        async () => {
          await world.must(server, "python3", "/usr/local/lib/cry.py", "eth0", control);
          return read().includes(`${hardware} ip ${control} ${control}`);
        },
        { timeoutMs: 10_000, what: "the sniffer to see anything", intervalMs: 200 },
      );
      return read().filter((line) => line.startsWith(hardware) && !line.includes(" 10.210.250."));
    },
    stop: () => process.kill(child.pid),
  };
}
