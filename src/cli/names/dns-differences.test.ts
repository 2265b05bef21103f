import { expect, test } from "bun:test";
import { diffNames, type NameView, type NatServers } from "./dns-differences.ts";

const NOBODY: NatServers = { names: new Map(), owners: new Map() };

function view(...addresses: string[]): NameView {
  return { isKnown: true, addresses, leftOut: [] };
}

function views(byServer: Record<string, Record<string, NameView>>): Parameters<typeof diffNames>[0] {
  return new Map(Object.entries(byServer).map(([server, names]) => [server, new Map(Object.entries(names))]));
}

test("the order of addresses and their number of times count for nothing", () => {
  const same = views({ a: { x: view("10.0.0.1", "10.0.0.2") }, b: { x: view("10.0.0.2", "10.0.0.1", "10.0.0.1") } });
  expect(diffNames(same, NOBODY)).toEqual([]);
});

test("a name without an address is not a name that is unknown", () => {
  const [difference] = diffNames(views({ a: { x: view() }, b: {}, c: { x: view() } }), NOBODY);
  expect(difference).toMatchObject({
    name: "x",
    views: [
      { servers: ["a", "c"], isKnown: true, addresses: [] },
      { servers: ["b"], isKnown: false, addresses: [] },
    ],
    isByConfiguration: false,
  });
});

test("what servers behind NAT leave out of each other's is by configuration; what others miss is not", () => {
  const nat: NatServers = {
    names: new Map([
      ["n1", "mesh-n1"],
      ["n2", "mesh-n2"],
    ]),
    owners: new Map([
      ["10.0.1.2", "mesh-n1"],
      ["10.0.2.2", "mesh-n2"],
      ["10.0.3.2", "public"],
    ]),
  };
  const all = view("10.0.1.2", "10.0.2.2", "10.0.3.2");
  const apart = {
    public: { x: all },
    n1: { x: view("10.0.1.2", "10.0.3.2") },
    n2: { x: view("10.0.2.2", "10.0.3.2") },
  };
  expect(diffNames(views(apart), nat)).toMatchObject([{ isByConfiguration: true }]);
  expect(diffNames(views(apart), NOBODY)).toMatchObject([{ isByConfiguration: false }]);
  const missing = { ...apart, n1: { x: view("10.0.1.2") } };
  expect(diffNames(views(missing), nat)).toMatchObject([{ isByConfiguration: false }]);
  const own = { ...apart, n1: { x: view("10.0.3.2") } };
  expect(diffNames(views(own), nat)).toMatchObject([{ isByConfiguration: false }]);
});
