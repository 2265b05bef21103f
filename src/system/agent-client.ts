import { connect } from "node:net";
import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import { agentAnswerSchema, type AgentAnswer, type AgentRequest } from "../model/agent-control.ts";
import { agentLineSchema, type AgentStateLine } from "../model/agent-protocol.ts";

import { askControlSocket } from "./control-socket.ts";

/** No line of the agent's is as long. */
const MAX_BYTES = 8 * 1024 * 1024;

/** Asks the agent of this server. Rejects when there is none, or when it does not answer as it should. */
export async function askAgent(path: string, request: AgentRequest): Promise<AgentAnswer> {
  return agentAnswerSchema.parse(await askControlSocket(path, request, MAX_BYTES));
}

/**
 * The first state line on an agent's socket: absent when nobody listens there, unknown when no readable line came in
 * time.
 */
export function readAgentState(path: string, timeoutMs: number): Promise<Reading<AgentStateLine>> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const end = (reading: Reading<AgentStateLine>): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reading);
    };
    const timer = setTimeout(() => end(unknown(`${path} said nothing for ${timeoutMs / 1000} s`)), timeoutMs);
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      if (text.length > MAX_BYTES) end(unknown(`${path} said an endless line`));
      for (const line of lines) {
        const state = parseState(line);
        if (state !== undefined) end(found(state));
      }
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      const isGone = error.code === "ENOENT" || error.code === "ECONNREFUSED";
      end(isGone ? ABSENT : unknown(`${path}: ${error.message}`));
    });
    socket.once("close", () => end(unknown(`${path} was closed`)));
  });
}

function parseState(line: string): AgentStateLine | undefined {
  try {
    const parsed = agentLineSchema.safeParse(JSON.parse(line));
    return parsed.success && parsed.data.type === "state" ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
