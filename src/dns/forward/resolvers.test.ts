import { afterEach, describe, expect, test } from "bun:test";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Endpoint } from "../../model/address.ts";
import type { Clock } from "../../system/host.ts";
import { systemClock } from "../../system/clock.ts";
import { parseResolvConf, Resolvers, type ResolversOptions } from "./resolvers.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function setUp(files: Readonly<Record<string, string>>, more: Partial<ResolversOptions> = {}) {
  const folder = await mkdtemp(join(tmpdir(), "jiji-resolv-"));
  folders.push(folder);
  const write = async (name: string, text: string): Promise<void> => {
    await writeFile(join(folder, `${name}.new`), text);
    await rename(join(folder, `${name}.new`), join(folder, name));
  };
  for (const [name, text] of Object.entries(files)) await write(name, text);
  let nowMs = 0;
  let changes = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  const resolvers = new Resolvers({
    configured: [],
    own: [{ host: "10.210.0.1", port: 53 }],
    clock,
    resolvConf: join(folder, "resolv.conf"),
    resolvedConf: join(folder, "resolved.conf"),
    onChange: () => changes++,
    ...more,
  });
  return {
    folder,
    write,
    resolvers,
    changes: () => changes,
    /** Lets the time pass after which the files are read again, and waits for what they say. */
    later: async (expected: readonly string[]) => {
      nowMs += 2_000;
      await resolvers.list();
      while (JSON.stringify(await resolvers.list()) !== JSON.stringify(expected)) await Bun.sleep(2);
    },
  };
}

describe("which resolvers are asked", () => {
  test("those of resolv.conf, in order, each once; comments and what is no address are left out", () => {
    const text = [
      "# nameserver 192.0.2.99",
      "search example.org",
      "nameserver 192.0.2.1",
      "  nameserver\t192.0.2.2 # second",
      "nameserver 192.0.2.1",
      "nameserver 2001:db8::1",
      "nameserver fe80::1%eth0",
      "nameserver localhost",
      "nameserver",
      "nameserver 192.0.2.300",
      "options edns0",
    ].join("\n");
    expect(parseResolvConf(text)).toEqual([
      "192.0.2.1:53",
      "192.0.2.2:53",
      "[2001:db8::1]:53",
      "[fe80::1%eth0]:53",
    ] as Endpoint[]);
  });

  test("a link-local resolver keeps its zone, and an IPv4 address has none", () => {
    const text = "nameserver fe80::1%eth0\nnameserver FE80::2%wlan0.5 # here\nnameserver 192.0.2.1%eth0\n";
    expect(parseResolvConf(text)).toEqual(["[fe80::1%eth0]:53", "[fe80::2%wlan0.5]:53"] as Endpoint[]);
  });

  // dns-contract: resolv-conf
  test("a new resolv.conf is picked up within two seconds, and said", async () => {
    const { resolvers, write, later, changes } = await setUp({ "resolv.conf": "nameserver 192.0.2.1\n" });
    expect(await resolvers.list()).toEqual(["192.0.2.1:53"] as Endpoint[]);
    await write("resolv.conf", "nameserver 192.0.2.2\nnameserver 192.0.2.1\n");
    expect(await resolvers.list()).toEqual(["192.0.2.1:53"] as Endpoint[]);
    await later(["192.0.2.2:53", "192.0.2.1:53"]);
    expect(changes()).toBe(1);
  });

  test("while the file cannot be read, what was known holds", async () => {
    const { resolvers, write, folder, later, changes } = await setUp({ "resolv.conf": "nameserver 192.0.2.1\n" });
    await resolvers.list();
    await rm(join(folder, "resolv.conf"));
    await later(["192.0.2.1:53"]);
    await write("resolv.conf", "nameserver 192.0.2.2\n");
    await later(["192.0.2.2:53"]);
    expect(changes()).toBe(1);
  });

  // dns-contract: systemd-resolved
  test("behind systemd-resolved its upstream file counts, and its stubs are never asked", async () => {
    const { resolvers, write, later } = await setUp({
      "resolv.conf": "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n",
      "resolved.conf": "nameserver 192.0.2.7\nnameserver 192.0.2.8\n",
    });
    expect(await resolvers.list()).toEqual(["192.0.2.7:53", "192.0.2.8:53"] as Endpoint[]);
    await write("resolved.conf", "nameserver 192.0.2.9\nnameserver 127.0.0.54\n");
    await later(["192.0.2.9:53"]);
  });

  // dns-contract: no-loops
  test("where this server listens itself is never asked, as it would ask itself", async () => {
    const text = "nameserver 10.210.0.1\nnameserver 127.0.0.1\nnameserver 192.0.2.1\n";
    const own = await setUp({ "resolv.conf": text });
    expect(await own.resolvers.list()).toEqual(["127.0.0.1:53", "192.0.2.1:53"] as Endpoint[]);
    const anywhere = await setUp({ "resolv.conf": text }, { own: [{ host: "0.0.0.0", port: 53 }] });
    expect(await anywhere.resolvers.list()).toEqual(["10.210.0.1:53", "192.0.2.1:53"] as Endpoint[]);
    const configured = await setUp({}, { configured: ["10.210.0.1:53", "192.0.2.1:53"] as Endpoint[] });
    expect(await configured.resolvers.list()).toEqual(["192.0.2.1:53"] as Endpoint[]);
  });

  test("without any file there are none", async () => {
    const { resolvers } = await setUp({});
    expect(await resolvers.list()).toEqual([]);
  });
});
