import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "./address.ts";
import {
  capacity,
  cidrContains,
  cidrsOverlap,
  isContainerAddress,
  lowestFreeSubnet,
  parseCidr,
  parseClusterCidr,
  parseSubnetNumber,
  serverAddress,
  subnetOf,
  type ClusterCidr,
} from "./cluster.ts";

/** Every cluster network there can be: any address cut to a prefix of /8 to /24. */
const clusters = fc
  .tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 8, max: 24 }))
  .map(([value, prefix]) => {
    const size = 2 ** (32 - prefix);
    return `${ipv4FromNumber(Math.floor(value / size) * size)}/${prefix}` as ClusterCidr;
  });

describe("a cluster's arithmetic, over all prefixes", () => {
  test("subnets lie inside, do not overlap, and hold their server's address", () => {
    fc.assert(
      fc.property(clusters, fc.nat(254), fc.nat(254), (cluster, a, b) => {
        expect(parseClusterCidr(cluster)).toBe(cluster);
        const x = parseSubnetNumber(cluster, a % capacity(cluster));
        const y = parseSubnetNumber(cluster, b % capacity(cluster));
        if (x === undefined || y === undefined) throw new Error("a number below the capacity was refused");
        expect(cidrsOverlap(subnetOf(cluster, x), cluster)).toBe(true);
        expect(cidrContains(cluster, serverAddress(cluster, x))).toBe(true);
        expect(cidrContains(subnetOf(cluster, x), serverAddress(cluster, x))).toBe(true);
        expect(cidrsOverlap(subnetOf(cluster, x), subnetOf(cluster, y))).toBe(x === y);
      }),
    );
  });

  test("a container's address is .2 to .254 of its own server's /24, and no other's", () => {
    fc.assert(
      fc.property(clusters, fc.nat(254), fc.nat(255), (cluster, n, last) => {
        const subnet = parseSubnetNumber(cluster, n % capacity(cluster));
        if (subnet === undefined) throw new Error("refused");
        const address = ipv4FromNumber(ipv4ToNumber(serverAddress(cluster, subnet)) - 1 + last);
        expect(isContainerAddress(cluster, subnet, address)).toBe(last >= 2 && last <= 254);
        const other = parseSubnetNumber(cluster, subnet + 1);
        if (other !== undefined) expect(isContainerAddress(cluster, other, address)).toBe(false);
      }),
    );
  });
});

test("the default network holds 255 servers, a /24 one", () => {
  expect(capacity("10.210.0.0/16" as ClusterCidr)).toBe(255);
  expect(capacity("10.0.0.0/8" as ClusterCidr)).toBe(255);
  expect(capacity("10.210.4.0/24" as ClusterCidr)).toBe(1);
  expect(capacity("10.210.4.0/22" as ClusterCidr)).toBe(4);
});

test.each(["10.210.0.1/16", "10.210.0.0", "10.210.0.0/33", "10.210.0.0/016", "10.210.0.0/16/1", "a/16"])(
  "%p is no network",
  (text) => {
    expect(parseCidr(text)).toBeUndefined();
  },
);

test.each(["10.0.0.0/7", "10.210.0.0/25"])("%p cannot be a cluster's network", (text) => {
  expect(parseClusterCidr(text)).toBeUndefined();
});

test("the lowest free number skips what is taken, and a full cluster has none", () => {
  const cluster = "10.210.4.0/22" as ClusterCidr;
  expect(lowestFreeSubnet(cluster, new Set([0, 2]))).toBe(1 as never);
  expect(lowestFreeSubnet(cluster, new Set([0, 1, 2, 3]))).toBeUndefined();
});

test("an address that only looks alike is not contained", () => {
  const inside = parseIpv4("11.2.3.45");
  if (inside === undefined) throw new Error("refused");
  expect(cidrContains("1.2.3.0/24" as ClusterCidr, inside)).toBe(false);
});
