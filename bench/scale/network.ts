import { mustRun, run } from "../../tools/run.ts";
import { addressOf, siteAddress, siteOf, SITES, type Site } from "./layout.ts";

/** Three network namespaces on one switch, each with the cluster addresses of its servers and routes to the others'. */
export interface SiteNetwork {
  /** The command line that runs a program in a site. */
  enter(site: Site, argv: readonly string[]): string[];
  remove(): Promise<void>;
}

export async function makeSiteNetwork(servers: number): Promise<SiteNetwork> {
  const nameOf = (part: string): string => `jiji-bench-${process.pid}-${part}`;
  const parts = ["switch", ...SITES];
  const remove = async (): Promise<void> => {
    for (const part of parts) await run(["ip", "netns", "delete", nameOf(part)]);
  };
  try {
    for (const part of parts) await mustRun(["ip", "netns", "add", nameOf(part)]);
    await batch(nameOf("switch"), ["link add br0 type bridge forward_delay 0", "link set br0 up"]);
    for (const site of SITES) {
      await batch(nameOf("switch"), [`link add p-${site} type veth peer name eth0 netns ${nameOf(site)}`]);
      await batch(nameOf("switch"), [`link set p-${site} master br0 up`]);
      const numbers = Array.from({ length: servers }, (_, n) => n);
      await batch(nameOf(site), [
        "link set lo up",
        `address add ${siteAddress(site)}/24 dev eth0`,
        "link set eth0 up",
        ...numbers.map((n) =>
          siteOf(n) === site
            ? `address add ${addressOf(n)}/32 dev lo`
            : `route add ${addressOf(n)}/32 via ${siteAddress(siteOf(n))}`,
        ),
      ]);
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { enter: (site, argv) => ["ip", "netns", "exec", nameOf(site), ...argv], remove };
}

async function batch(namespace: string, lines: readonly string[]): Promise<void> {
  await mustRun(["ip", "-n", namespace, "-batch", "-"], { input: lines.map((line) => `${line}\n`).join("") });
}
