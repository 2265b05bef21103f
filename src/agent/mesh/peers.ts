import type { ApplyContext, ResourceKind } from "../../apply/kind.ts";
import { routeKind } from "../../apply/kinds/route.ts";
import { observeTunnel } from "../../apply/wireguard-tunnel.ts";
import { wireguardKind } from "../../apply/kinds/wireguard.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import { INTERFACE } from "../../model/ports.ts";
import type { Member } from "../../model/server-record.ts";
import type { JoinGoal } from "../../plan/goal.ts";
import { EMPTY_MANIFEST } from "../../plan/manifest.ts";
import { desiredPeers } from "../../plan/peers.ts";
import type { Step } from "../../plan/step.ts";
import { planPeers } from "../../plan/kinds/wireguard.ts";
import type { Host, Log } from "../../system/host.ts";
import type { Peers } from "./member-watch.ts";

/**
 * Has the running tunnel's peers and their routes follow the members, by the same plans as setup and nothing else of
 * them: no file, no unit, no key. Without a tunnel it throws, since then nothing can be put in place yet.
 */
export function openPeers(host: Host, spec: NodeSpec, log: Log): Peers {
  return {
    async reconcile(members: readonly Member[]): Promise<void> {
      const goal: JoinGoal = { phase: "join", spec, members, expected: [] };
      const tunnel = await observeTunnel(host);
      if (tunnel.state === "unknown") throw new Error(tunnel.why);
      if (tunnel.state === "absent") throw new Error(`${INTERFACE} is not up`);
      await run(wireguardKind, planPeers(desiredPeers(spec, members), tunnel.value), { host, goal, log });
      const routes = await routeKind.observe(host, goal, EMPTY_MANIFEST);
      await run(routeKind, routeKind.plan(goal, routes, EMPTY_MANIFEST, []), { host, goal, log });
    },
  };
}

async function run<Action>(
  kind: Pick<ResourceKind<unknown, Action>, "execute">,
  steps: readonly Step<Action>[],
  { host, goal, log }: { readonly host: Host; readonly goal: JoinGoal; readonly log: Log },
): Promise<void> {
  const neverRemembered = (): Promise<void> => Promise.reject(new Error("peers and routes leave nothing to remember"));
  const context: ApplyContext = {
    host,
    goal,
    before: () => undefined,
    remember: neverRemembered,
    forget: neverRemembered,
    progress: (line) => log.info(`peers: ${line}`),
  };
  for (const step of steps) {
    await kind.execute(step, context);
    log.info(`peers: ${step.summary}`);
  }
}
