import { expect, test } from "bun:test";
import { parseClusterCidr } from "../../model/cluster.ts";
import { NONE } from "./name-claims.ts";
import { Zone } from "./zone.ts";

// dns-contract: newest-row
test("a row is the newer of the store's and of the news, by rev", () => {
  const state = { nowMs: 1_000_000 };
  const zone = new Zone({ cluster: parseClusterCidr("10.210.0.0/16")!, localFirst: false, nowMs: () => state.nowMs });
  zone.setServers([{ id: "a", name: "web1", subnet: 0 }]);
  const place = zone.owners.place("a", 0)!;
  const facts = (rev: number) => ({
    ...{ rev, project: "shop", service: "web", instance: null, address: 0x0ad20000 + rev, state: "healthy" as const },
    ...{ containerId: "c".repeat(64), ports: "", image: "" },
  });
  /** the `rev` of the row that counts, told by its address */
  const counting = (): readonly number[] => {
    const claim = zone.claims.winner("shop-web");
    return claim === NONE ? [] : zone.answer(claim).addresses.map((address) => address - 0x0ad20000);
  };
  zone.set(place, facts(5));
  expect(counting()).toEqual([5]);
  zone.addNews(place, facts(4));
  expect(counting()).toEqual([5]);
  zone.addNews(place, facts(8));
  expect(counting()).toEqual([8]);
  zone.addNews(place, facts(7));
  expect(counting()).toEqual([8]);
  // The store follows, at first with a row that is older still.
  zone.set(place, facts(6));
  expect(counting()).toEqual([8]);
  zone.set(place, facts(9));
  expect(counting()).toEqual([9]);
  // What the store never says is forgotten in the end, and then the store's row counts.
  zone.addNews(place, facts(12));
  expect(counting()).toEqual([12]);
  state.nowMs += 3_600_000;
  zone.dropOldNews();
  expect(counting()).toEqual([9]);
});
