import type { Cidr } from "../../model/cluster.ts";
import { INTERFACE } from "../../model/ports.ts";
import { known, type Reading } from "../../model/reading.ts";
import type { NodeGoal } from "../goal.ts";
import { desiredPeers } from "../peers.ts";
import { stepsOf, type Step } from "../step.ts";

export const ROUTE_KIND = "route";

/** A route of the main table. */
export interface ObservedRoute {
  /** unicast, unreachable, blackhole, prohibit, … */
  readonly type: string;
  /** canonical, with prefix length; 0.0.0.0/0 for the default route */
  readonly dst: string;
  readonly dev: string | null;
  readonly gateway: string | null;
  readonly metric: number;
}

export interface RouteObserved {
  readonly hasTunnel: Reading<boolean>;
  readonly routes: Reading<readonly ObservedRoute[]>;
}

export interface RouteAction {
  readonly op: "replace";
  readonly dst: Cidr;
}

const step = stepsOf<RouteAction>(ROUTE_KIND);

/**
 * One route into the tunnel for each peer's /24. Without an interface there is nothing to do: jiji0.conf makes the routes
 * together with it, and they go with it. Routes that no member asks for are left alone.
 */
export function planRoute(goal: NodeGoal, observed: RouteObserved): readonly Step<RouteAction>[] {
  if (goal.phase !== "join" || known(observed.hasTunnel, INTERFACE) !== true) return [];
  const routes = known(observed.routes, "the routes") ?? [];
  return desiredPeers(goal.spec, goal.members)
    .filter(({ allowedIps }) => !routes.some((route) => leadsIntoTunnel(route, allowedIps)))
    .map(({ name, allowedIps: dst }) =>
      step("create", dst, `route ${dst} of ${name} through ${INTERFACE}`, { op: "replace", dst }),
    );
}

function leadsIntoTunnel(route: ObservedRoute, dst: Cidr): boolean {
  return (
    route.type === "unicast" &&
    route.dst === dst &&
    route.dev === INTERFACE &&
    route.gateway === null &&
    route.metric === 0
  );
}
