import { INTERFACE } from "../../model/ports.ts";
import { found } from "../../model/reading.ts";
import { planRoutes, ROUTE_KIND, type RouteAction, type RoutesObserved } from "../../plan/kinds/route.ts";
import type { ResourceKind } from "../kind.ts";
import { observeLinks, observeRoutes } from "../links.ts";
import { runChecked } from "../run-checked.ts";

/** Routes to the peers' containers and servers, exactly those that jiji0.conf makes at boot. */
export const routeKind: ResourceKind<RoutesObserved, RouteAction> = {
  kind: ROUTE_KIND,
  async observe(host) {
    const links = await observeLinks(host);
    return {
      hasTunnel: links.state === "found" ? found(links.value.some(({ name }) => name === INTERFACE)) : links,
      routes: await observeRoutes(host),
    };
  },
  plan: planRoutes,
  async execute({ action }, { host }) {
    await runChecked(host, ["ip", "-4", "route", "replace", action.dst, "dev", INTERFACE]);
  },
};
