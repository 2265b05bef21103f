import { openWorld } from "./world.ts";
import * as s from "./scenarios.ts";
const [what, rounds = "1", seconds = "1", jiji] = process.argv.slice(2);
const world = await openWorld({ hasPeers: true, say: (l) => console.error(l), ...(jiji && { jiji }) });
try {
  const effort = { rounds: Number(rounds), seconds: Number(seconds) };
  const r = what === "plain" ? await s.measurePlain(world, effort) : what === "many" ? await s.measureMany(world, effort, s.MANY_SERVICES) : what === "changes" ? await s.measureChanges(world, effort, s.MANY_SERVICES) : await s.measureForwards(world, effort);
  const { full, fixed, half, few, many, quiet, changing, swapping, ...rest } = r as any;
  console.log(JSON.stringify(rest, (_, v) => typeof v === "number" ? Math.round(v*100)/100 : v));
} finally { await world.close(); }
process.exit(0);
