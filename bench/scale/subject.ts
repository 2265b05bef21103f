// The measured server's agent without an engine: real probes and news with all the others, and real sockets for jiji-dns.
// usage: subject.ts SERVERS TOKEN_FILE FOLDER
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startAgentSocket } from "../../src/agent/sockets/agent-socket.ts";
import { startLink } from "../../src/agent/mesh/link.ts";
import { startStoreRelay } from "../../src/agent/sockets/store-relay.ts";
import { Secret } from "../../src/model/secret.ts";
import type { Member } from "../../src/model/server-record.ts";
import { formatStoreUrl } from "../../src/store/store-url.ts";
import { systemClock } from "../../src/system/clock.ts";
import { systemFiles } from "../../src/system/files.ts";
import type { Files } from "../../src/system/host.ts";
import { systemUdp } from "../../src/system/udp.ts";
import { CLUSTER, idOf, STORE_PORT, SUBJECT, subnetOf } from "./layout.ts";

const [serversText, tokenFile = "", folder = ""] = process.argv.slice(2);
const group = "jiji";

/** This machine has no group of jiji's; who may connect is of no interest here. */
const files: Files = {
  ...systemFiles,
  makeFolder: async (path) => void mkdirSync(path, { recursive: true }),
  setOwner: async () => undefined,
};

const log = { info: () => undefined, warn: (line: string) => console.error(line) };
const members = Array.from({ length: Number(serversText) }, (_, n) => ({ id: idOf(n), name: `s${n}`, subnet: n }));
const agentSocket = await startAgentSocket({ path: join(folder, "agent.sock"), files, group });
await startStoreRelay({
  path: join(folder, "store.sock"),
  files,
  group,
  url: formatStoreUrl({ kind: "tcp", host: "127.0.0.1", port: STORE_PORT }),
  token: new Secret(readFileSync(tokenFile, "utf8").trim()),
  clock: systemClock,
  log,
});
const state = { self: idOf(SUBJECT), networks: [], servers: members, ready: true };
const link = startLink({
  self: { id: idOf(SUBJECT), subnet: subnetOf(SUBJECT) },
  cluster: CLUSTER,
  udp: systemUdp,
  clock: systemClock,
  log,
  random: Math.random,
  lost: new Set(),
  onReachability: (hidden) => agentSocket.publish({ ...state, unreachable: [...hidden] }),
  onNews: (records) => agentSocket.tellNews([...records]),
  onRecheck: () => undefined,
});
link.setReady(true);
link.setMembers(members.map((member) => ({ ...member, nat: false }) as unknown as Member));
agentSocket.publish({ ...state, unreachable: [] });
process.stdout.write("ready\n");
process.stdin
  .on("data", () => {
    const heard = link.report().filter(({ isHeard, roundTripMs }) => isHeard && roundTripMs !== null).length;
    process.stdout.write(`${JSON.stringify({ heard, dropped: link.dropped })}\n`);
  })
  .on("end", () => process.exit(0));
