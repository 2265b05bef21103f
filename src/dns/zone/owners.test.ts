import { expect, test } from "bun:test";
import { parseClusterCidr } from "../../model/cluster.ts";
import { Zone } from "./zone.ts";

test("strangers' rows, however many owners they name, keep no later member's rows out", () => {
  const zone = new Zone({ cluster: parseClusterCidr("10.210.0.0/16")!, localFirst: false, nowMs: () => 1_000_000 });
  for (let n = 0; n < 5_000; n++) zone.owners.place(`stranger${n}`, 0);
  expect(zone.owners.place("one more", 0)).toBeUndefined();
  zone.setServers([{ id: "newcomer", name: "web9", subnet: 9 }]);
  const place = zone.owners.place("newcomer", 0)!;
  zone.set(place, {
    ...{ rev: 1, project: "shop", service: "api", instance: null, address: 0x0ad20902, state: "healthy" },
    ...{ containerId: "a".repeat(64), ports: "", image: "" },
  });
  expect(zone.rowCount).toBe(1);
  expect(zone.owners.all().length).toBe(4_097);
});
