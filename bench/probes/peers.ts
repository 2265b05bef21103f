// The other servers' ends of the probes: real links, each of which has a path to the measured server only.
// usage: peers.ts COUNT
import { startLink } from "../../src/agent/mesh/link.ts";
import { parseSubnetNumber } from "../../src/model/cluster.ts";
import { systemClock } from "../../src/system/clock.ts";
import { systemUdp } from "../../src/system/udp.ts";
import { CLUSTER, memberId, memberOf, subjectOf } from "./members.ts";

const members = Number(process.argv[2]);
const subject = subjectOf(members);
/** Two servers behind NAT do not probe each other, and still count for how large the mesh is. */
const others = Array.from({ length: members }, (_, n) => memberOf(n, n !== subject));

for (let n = 0; n < members; n++) {
  const subnet = parseSubnetNumber(CLUSTER, n);
  if (n === subject || subnet === undefined) continue;
  const link = startLink({
    self: { id: memberId(n), subnet },
    cluster: CLUSTER,
    udp: systemUdp,
    clock: systemClock,
    log: { info: () => undefined, warn: () => undefined },
    random: Math.random,
    lost: new Set(),
    onReachability: () => undefined,
    onNews: () => undefined,
    onRecheck: () => undefined,
  });
  link.setReady(true);
  link.setMembers(others);
}
process.stdin.on("end", () => process.exit(0)).resume();
