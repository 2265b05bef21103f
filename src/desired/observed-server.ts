import type { Endpoint } from "../model/address.ts";
import type { NodeFacts } from "../model/node/observe.ts";
import type { ServerConfig } from "../config/deploy-config.ts";

/** A server of the file that answered: what the file says of it, and what it says of itself. */
export interface ObservedServer {
  readonly config: ServerConfig;
  readonly facts: NodeFacts;
  /** literal addresses at which peers reach its WireGuard, best first; empty behind NAT */
  readonly endpoints: readonly Endpoint[];
  /** false: `-H` leaves it out, so it is only told of newcomers */
  readonly selected: boolean;
}
