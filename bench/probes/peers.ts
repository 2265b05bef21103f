// The other servers' ends of the probes: real links, each of which knows the measured server only.
// usage: peers.ts COUNT
import { startLink } from "../../src/agent/mesh/link.ts";
import { parseSubnetNumber } from "../../src/model/cluster.ts";
import { systemClock } from "../../src/system/clock.ts";
import { systemUdp } from "../../src/system/udp.ts";
import { CLUSTER, memberId, memberOf, SUBJECT } from "./members.ts";

for (let n = 0; n < Number(process.argv[2]); n++) {
  const subnet = parseSubnetNumber(CLUSTER, n);
  if (n === SUBJECT || subnet === undefined) continue;
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
  link.setMembers([memberOf(n), memberOf(SUBJECT)]);
}
process.stdin.on("end", () => process.exit(0)).resume();
