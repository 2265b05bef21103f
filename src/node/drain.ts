import { askAgent } from "../system/agent-client.ts";
import type { AgentAnswer, AgentRequest } from "../model/agent-control.ts";
import { JijiError, messageOf } from "../model/errors.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import { PATHS } from "../model/paths.ts";
import type { Call } from "./call.ts";

/** How the agent is asked; tests give another. */
export type AskAgent = (request: AgentRequest) => Promise<AgentAnswer>;

const askRunning: AskAgent = (request) => askAgent(PATHS.agentControlSocket, request);

/** `jiji node drain`: passes the request on to this server's agent. */
export async function runNodeDrain(
  { container, undo }: CheckedRequestOf<"drain">,
  { say }: Call<"drain">,
  ask: AskAgent = askRunning,
): Promise<void> {
  const answer = await asked(ask, { type: "drain", container, undo });
  if (answer.type === "refused") throw new JijiError("conflict", answer.why);
  if (answer.type !== "drained") throw new JijiError("remote", "its agent answered something else");
  say(answer);
}

async function asked(ask: AskAgent, request: AgentRequest): Promise<AgentAnswer> {
  try {
    return await ask(request);
  } catch (cause) {
    const why = messageOf(cause);
    throw new JijiError("remote", `its agent could not be asked: ${why}`, {
      hint: "systemctl status jiji-agent on that server",
      cause,
    });
  }
}
