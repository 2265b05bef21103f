import { z } from "zod";

/**
 * What jiji-agent sends on /run/jiji/agent/agent.sock: NDJSON to every client. It reads nothing from them.
 *
 * - `state`: first line of every connection, and again whenever anything in it changes; it is whole each time.
 * - `tick`: once a second when there is nothing else to send, so 3 s of silence mean that the agent is gone.
 * - `news`: container records of any server, this one included, ahead of the store (rev decides which is newer).
 */
export const agentLineSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("state"),
    /** this server's id */
    self: z.string(),
    /** IPv4 networks of the server's own engines, whose containers may ask questions */
    networks: z.array(z.string()),
    /** every member, this one included: the pinned id → name and subnet number */
    servers: z.array(z.object({ id: z.string(), name: z.string(), subnet: z.int().min(0).max(254) })),
    /**
     * ids of the members whose containers must be hidden from answers here, and of no others. The agent has already applied
     * the rule that a server which hears fewer than half of the others hides none of them.
     */
    unreachable: z.array(z.string()),
    /** whether this server's own rows count: its agent has compared them with the engine since the server booted */
    ready: z.boolean(),
  }),
  z.object({ type: z.literal("tick") }),
  z.object({
    type: z.literal("news"),
    records: z.array(z.object({ serverId: z.string(), n: z.int().min(0), record: z.string() })),
  }),
]);

export type AgentLine = z.infer<typeof agentLineSchema>;
export type AgentStateLine = Extract<AgentLine, { type: "state" }>;
