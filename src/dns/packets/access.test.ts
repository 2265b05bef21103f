import { expect, test } from "bun:test";
import fc from "fast-check";
import { ipv4FromNumber } from "../../model/address.ts";
import { cidrParts, parseCidr, type Cidr } from "../../model/cluster.ts";
import { ACCESS_WORDS, AccessList } from "./access.ts";

function networks(...texts: readonly string[]): Cidr[] {
  return texts.map((text) => parseCidr(text)!);
}

test("loopback, the cluster and own engine networks may ask, nobody else", () => {
  const list = new AccessList(new Int32Array(ACCESS_WORDS));
  const may = (text: string): boolean =>
    list.mayAsk(text.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0));
  expect(["127.0.0.1", "127.255.0.9", "10.210.0.2", "0.0.0.0"].map(may)).toEqual([true, true, false, false]);
  list.allow(networks("10.210.0.0/16", "172.17.0.0/16"));
  expect(["10.210.255.254", "172.17.0.3", "127.0.0.1"].map(may)).toEqual([true, true, true]);
  expect(["10.211.0.1", "10.209.255.255", "172.18.0.1", "192.0.2.1", "255.255.255.255"].map(may)).toEqual(
    Array.from({ length: 5 }, () => false),
  );
  list.allow(networks("10.210.0.0/16"));
  expect(may("172.17.0.3")).toBe(false);
});

// dns-contract: who-may-ask
test("an address may ask exactly when a network holds it (property)", () => {
  const network = fc
    .tuple(fc.nat({ max: 0xffffffff }), fc.integer({ min: 0, max: 32 }))
    .map(([address, prefix]) => parseCidr(`${ipv4FromNumber(address - (address % 2 ** (32 - prefix)))}/${prefix}`)!);
  const lists = fc.array(fc.array(network, { maxLength: 6 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(lists, fc.nat({ max: 0xffffffff }), (each, drawn) => {
      const list = new AccessList(new Int32Array(ACCESS_WORDS));
      for (const one of each) list.allow(one);
      const last = each.at(-1) ?? [];
      for (const address of [drawn, ...last.map((one) => cidrParts(one).first)]) {
        const isIn = last.some((one) => {
          const { first, prefix } = cidrParts(one);
          return address >= first && address < first + 2 ** (32 - prefix);
        });
        expect(list.mayAsk(address)).toBe(isIn || Math.floor(address / 2 ** 24) === 127);
      }
    }),
  );
});
