import type { DnsServer } from "../../src/dns/server.ts";
import { cleanUps, setUp } from "./dns-world.ts";
import { FakeResolver } from "../fake-resolver.ts";

/** A running jiji-dns whose only resolver is a fake one. */
export async function world() {
  const upstream = await FakeResolver.start();
  cleanUps.push(() => upstream.close());
  const made = await setUp({ upstreams: [upstream.endpoint] });
  return { ...made, upstream, server: await made.start() };
}

/** What the server says of itself under that name in its metrics; NaN when there is no such name. */
export async function metric(server: DnsServer, name: string): Promise<number> {
  const { host, port } = server.metrics!;
  const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
  const line = text
    .split("\n")
    .find((one) => one.startsWith(`jiji_dns_${name} `) || one.startsWith(`jiji_dns_${name}{`));
  return Number(line?.split(" ").at(-1) ?? Number.NaN);
}
