// The other servers' ends of the probes: real links, each of which has a path to the measured server only.
// usage: peers.ts COUNT
import { parseSubnetNumber } from "../../src/model/cluster.ts";
import { startQuietLink } from "../quiet-link.ts";
import { CLUSTER, memberId, memberOf, subjectOf } from "./members.ts";

const members = Number(process.argv[2]);
const subject = subjectOf(members);
/** Two servers behind NAT do not probe each other, and still count for how large the mesh is. */
const others = Array.from({ length: members }, (_, n) => memberOf(n, n !== subject));

for (let n = 0; n < members; n++) {
  const subnet = parseSubnetNumber(CLUSTER, n);
  if (n === subject || subnet === undefined) continue;
  startQuietLink(CLUSTER, { id: memberId(n), subnet }).setMembers(others);
}
process.stdin.on("end", () => process.exit(0)).resume();
