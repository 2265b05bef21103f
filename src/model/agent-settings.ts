import { z } from "zod";
import { engineKindSchema } from "./node-spec.ts";
import { PATHS } from "./paths.ts";

/**
 * /opt/jiji/agent/settings.json: the sockets and the store that the agent uses. It reads everything else from
 * identity.json, members.json and spec.json. The file holds no secret, only the path of one.
 */
export const agentSettingsSchema = z.object({
  version: z.literal(1),
  store: z.object({
    /** e.g. http://127.0.0.1:31220 */
    url: z.string(),
    /** the file that holds the bearer token, alone on its line */
    tokenFile: z.string(),
  }),
  engine: z.object({
    kind: engineKindSchema,
    /** the engine's API socket, e.g. /run/docker.sock */
    socket: z.string(),
    /** the containers' network */
    network: z.string(),
  }),
  /** sockets that the agent makes, /run/jiji/agent/… */
  sockets: z.object({
    agent: z.string(),
    store: z.string(),
    /** where root asks the agent, see agent-control.ts */
    control: z.string().default(PATHS.agentControlSocket),
  }),
  /** false: changes reach the other servers through the store alone; absent: true */
  news: z.boolean().optional(),
});

export type AgentSettings = z.infer<typeof agentSettingsSchema>;
