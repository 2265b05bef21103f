import type { z } from "zod";
import type { AgentSettings, agentSettingsSchema } from "../model/agent-settings.ts";
import { serverAddress } from "../model/cluster.ts";
import { type NodeSpec, ENGINE_SOCKETS } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { ENGINE_NETWORK, PORTS } from "../model/ports.ts";

/** /opt/jiji/agent/settings.json */
export function renderAgentSettings(spec: NodeSpec): string {
  const settings: z.input<typeof agentSettingsSchema> = {
    version: 1,
    store: storeOf(spec),
    engine: { kind: spec.engine, socket: ENGINE_SOCKETS[spec.engine], network: ENGINE_NETWORK },
    sockets: { agent: PATHS.agentSocket, store: PATHS.storeRelaySocket },
  };
  return `${JSON.stringify(settings, null, 2)}\n`;
}

/** Where this server's programs find the store. */
export function storeOf({ store, cluster }: Pick<NodeSpec, "store" | "cluster">): AgentSettings["store"] {
  if (store.kind === "corrosion") {
    return { url: `http://127.0.0.1:${PORTS.corrosionApi}`, tokenFile: PATHS.corrosionToken };
  }
  const address = serverAddress(cluster.cidr, store.holder);
  return { url: `http://${address}:${PORTS.embeddedStore}`, tokenFile: PATHS.embeddedStoreToken };
}
