import type { NodeSpec } from "../model/node-spec.ts";

/**
 * Questions to running services, asked after a start. Each waits until the answer is good or its time is up, and then
 * gives undefined or the reason as text. They never change anything.
 */
export interface Probes {
  /** the store answers a read of its newest table */
  store(spec: NodeSpec): Promise<string | undefined>;
  /** the agent has compared the store with its engine */
  agent(): Promise<string | undefined>;
  /** jiji-dns answers on the server's own address */
  dns(spec: NodeSpec): Promise<string | undefined>;
}
