import { z } from "zod";
import { mapReading, type Reading } from "../model/reading.ts";
import type { ObservedRoute } from "../plan/kinds/route.ts";
import type { Host } from "../system/host.ts";
import { lookJson } from "./programs.ts";

/** A network interface of this server. */
export interface Link {
  readonly name: string;
  readonly mtuBytes: number;
  /** administratively up */
  readonly up: boolean;
  /** IPv4 with prefix length, e.g. 10.210.0.1/24 */
  readonly addresses: readonly string[];
}

const linksSchema = z.array(
  z.object({
    ifname: z.string(),
    mtu: z.int(),
    flags: z.array(z.string()),
    addr_info: z.array(z.object({ family: z.string(), local: z.string(), prefixlen: z.int() }).partial()).default([]),
  }),
);

const routesSchema = z.array(
  z.object({
    type: z.string().default("unicast"),
    dst: z.string(),
    dev: z.string().nullable().default(null),
    gateway: z.string().nullable().default(null),
    metric: z.number().default(0),
  }),
);

/** All network interfaces with their IPv4 addresses. */
export async function observeLinks(host: Host): Promise<Reading<readonly Link[]>> {
  return mapReading(await lookJson(host, ["ip", "-j", "addr", "show"], linksSchema), (links) =>
    links.map(({ ifname, mtu, flags, addr_info: addresses }) => ({
      name: ifname,
      mtuBytes: mtu,
      up: flags.includes("UP"),
      addresses: addresses
        .filter(({ family }) => family === "inet")
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    })),
  );
}

/** The IPv4 routes of the main table. */
export async function observeRoutes(host: Host): Promise<Reading<readonly ObservedRoute[]>> {
  const routes = await lookJson(host, ["ip", "-j", "-4", "route", "show", "table", "main"], routesSchema);
  return mapReading(routes, (list) =>
    list.map(({ dst, ...route }) => ({
      ...route,
      dst: dst === "default" ? "0.0.0.0/0" : dst.includes("/") ? dst : `${dst}/32`,
    })),
  );
}
