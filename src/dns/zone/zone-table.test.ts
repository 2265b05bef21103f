import { expect, test } from "bun:test";
import { encode } from "dns-packet";
import { ipv4FromNumber } from "../../model/address.ts";
import type { ClusterCidr } from "../../model/cluster.ts";
import { Question, readQuestion } from "../wire/question.ts";
import type { ContainerFacts } from "./container-rows.ts";
import type { Place } from "./owners.ts";
import { TableReader } from "./table.ts";
import { Zone } from "./zone.ts";
import { ZoneTable } from "./zone-table.ts";

const SEED = 99;
const FIRST = 0x0ad20000;
const [WEB1, WEB2] = ["1".repeat(32), "2".repeat(32)] as [string, string];

function facts(service: string, subnet: number, host: number, rev: number): ContainerFacts {
  const address = FIRST + subnet * 256 + host;
  const rest = { ports: "", image: "", containerId: "0".repeat(64), instance: null };
  return { ...rest, rev, project: "shop", service, address, state: "healthy" };
}

test("while a snapshot takes the place of what was known, no answer is of both, whatever else changes meanwhile", async () => {
  const zone = new Zone({ cluster: "10.210.0.0/16" as ClusterCidr, localFirst: false, nowMs: () => 1_000 });
  const servers = [
    { id: WEB1, name: "web1", subnet: 0 },
    { id: WEB2, name: "web2", subnet: 1 },
  ];
  zone.setServers(servers);
  const place = (id: string, n: number): Place => zone.owners.place(id, n) as Place;
  let reader: TableReader | undefined;
  const seen = new Set<string>();
  const answered = (name: string): string => {
    const packet = encode({ type: "query", id: 1, questions: [{ type: "A", name }] });
    const question = new Question(SEED);
    readQuestion(new DataView(packet.buffer, packet.byteOffset, packet.length), 0, packet.length, question);
    const record = reader?.find(question) ?? 0;
    if (reader === undefined || record === 0) return "nothing";
    return ipv4FromNumber(reader.addressAt(reader.addressesAt(record), 0) >>> 0);
  };
  const look = (): void => void seen.add(`${answered("shop-web.jiji")} ${answered("shop-s1900.jiji")}`);
  // Whoever gets a turn has news, members and a tick to tell, as the server's feeds do.
  let turns = 0;
  const pause = async (): Promise<void> => {
    turns++;
    zone.addNews(place(WEB1, 200), facts("other", 0, 200, 500 + turns));
    zone.setServers(turns % 2 === 0 ? servers : [...servers, { id: "3".repeat(32), name: "web3", subnet: 2 }]);
    table.flush();
    look();
  };
  const table = new ZoneTable({
    zone,
    seed: SEED,
    ttlSeconds: () => 60,
    nowMs: () => 1_000,
    onTable: (buffer) => (reader = new TableReader(buffer)),
    pause,
  });
  for (let n = 0; n < 2_000; n++) zone.set(place(WEB1, n), facts(`s${n}`, 0, 2 + (n % 200), 1));
  zone.set(place(WEB2, 0), facts("web", 1, 2, 1));
  await table.rebuild();
  seen.clear();
  look();
  const before = turns;
  // The service has moved from one server to the other, and the others have other addresses.
  zone.beginSnapshot(true);
  for (let n = 0; n < 2_000; n++) zone.snapshotRow(place(WEB1, n), facts(`s${n}`, 0, 3 + (n % 200), 2));
  zone.snapshotRow(place(WEB1, 2_000), facts("web", 0, 250, 2));
  const rebuilt = zone.endSnapshot(pause).then(() => table.rebuild());
  // Somebody else wants a new table just then.
  await Promise.all([rebuilt, table.rebuild()]);
  look();
  expect(turns - before).toBeGreaterThan(4);
  expect([...seen]).toEqual(["10.210.1.2 10.210.0.102", "10.210.0.250 10.210.0.103"]);
});
