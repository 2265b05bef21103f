import { INTERFACE } from "../../model/ports.ts";
import { mapReading } from "../../model/reading.ts";
import { planRoute, ROUTE_KIND, type RouteAction, type RouteObserved } from "../../plan/kinds/route.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { observeLinks, observeRoutes } from "../links.ts";
import { runChecked } from "../programs.ts";

/** Routes to the peers' containers and servers, exactly those that jiji0.conf makes at boot. */
export const routeKind: ResourceKind<RouteObserved, RouteAction> = {
  kind: ROUTE_KIND,
  observe,
  plan: planRoute,
  execute,
};

async function observe(host: Host): Promise<RouteObserved> {
  return {
    hasTunnel: mapReading(await observeLinks(host), (links) => links.some(({ name }) => name === INTERFACE)),
    routes: await observeRoutes(host),
  };
}

async function execute({ action }: Step<RouteAction>, { host }: ApplyContext): Promise<void> {
  await runChecked(host, ["ip", "-4", "route", "replace", action.dst, "dev", INTERFACE]);
}
