// The agents of one site's servers, as far as they write rows and speak to the measured server's agent. NDJSON: commands
// on standard input, what was done on standard output.
// usage: site.ts SITE SERVERS CONTAINERS TOKEN_FILE
import { readFileSync } from "node:fs";
import { encodeRowChanges } from "../../src/agent/containers/mirror.ts";
import type { AgentLink } from "../../src/agent/mesh/link.ts";
import { Secret } from "../../src/model/secret.ts";
import type { Member } from "../../src/model/server-record.ts";
import { openStoreClient } from "../../src/store/client.ts";
import { formatStoreUrl } from "../../src/store/store-url.ts";
import type { Statement } from "../../src/store/store.ts";
import { splitLines } from "../../src/system/line-split.ts";
import { startQuietLink } from "../quiet-link.ts";
import type { SiteCommand, SiteEvent } from "./protocol.ts";
import { CLUSTER, idOf, recordText, signedServer, siteOf, STORE_PORT, SUBJECT, subnetOf } from "./layout.ts";

const [site, serversText, containersText, tokenFile = ""] = process.argv.slice(2);
const [servers, containers] = [Number(serversText), Number(containersText)];
const own = Array.from({ length: servers }, (_, n) => n).filter((n) => siteOf(n) === site);
const url = formatStoreUrl({ kind: "tcp", host: "127.0.0.1", port: STORE_PORT });
const store = openStoreClient({ url, token: new Secret(readFileSync(tokenFile, "utf8").trim()) });
const ids = new Map(own.map((n) => [n, idOf(n)]));
const links = new Map<number, AgentLink>();
const healthy = new Set<string>();

const UPSERT_SERVER =
  "INSERT INTO servers (id, record, sig) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record, sig = excluded.sig";
const INSERT_ROW = "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)";

function say(event: SiteEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Everybody but the measured server, whose link is real and stands elsewhere. */
function startLinks(): void {
  const subject = { id: idOf(SUBJECT), subnet: SUBJECT, name: "subject", nat: false } as unknown as Member;
  for (const n of own) {
    if (n === SUBJECT) continue;
    const id = ids.get(n) ?? idOf(n);
    const link = startQuietLink(CLUSTER, { id, subnet: subnetOf(n) });
    link.setMembers([{ id, subnet: n, name: `s${n}`, nat: false } as unknown as Member, subject]);
    links.set(n, link);
  }
}

/** One transaction a server, as an agent writes its rows when it starts. */
async function load(): Promise<void> {
  for (const n of own) {
    const id = ids.get(n) ?? "";
    const { record, sig } = signedServer(n);
    const rows = Array.from({ length: containers }, (_, k): Statement => {
      healthy.add(`${n} ${k}`);
      return { sql: INSERT_ROW, params: [id, k, recordText(n, k, "healthy", Date.now())] };
    });
    await store.transact([{ sql: UPSERT_SERVER, params: [id, record, sig] }, ...rows]);
  }
  say({ type: "loaded" });
}

async function change(n: number, k: number, number: number): Promise<void> {
  const id = ids.get(n);
  if (id === undefined) return;
  const key = `${n} ${k}`;
  const isHealthy = !healthy.delete(key);
  if (isHealthy) healthy.add(key);
  const rev = Date.now();
  const text = recordText(n, k, isHealthy ? "healthy" : "unhealthy", rev);
  await store.transact(encodeRowChanges(id, [{ n: k, rev, text, record: undefined, previous: undefined }]));
  say({ type: "written", number, isHealthy, atMs: nowMs() });
  links.get(n)?.tell([[k, text]]);
}

async function count(): Promise<void> {
  const { rows } = await store.query({ sql: "SELECT count(*) FROM containers WHERE record != ''" });
  say({ type: "counted", rows: Number(rows[0]?.[0]) });
}

startLinks();
say({ type: "ready" });
for await (const line of splitLines(process.stdin, 1024 * 1024)) {
  const command = JSON.parse(line) as SiteCommand;
  if (command.type === "load") await load();
  else if (command.type === "count") await count();
  else void change(command.n, command.k, command.number);
}
process.exit(0);
