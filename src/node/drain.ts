import { askAgent } from "../agent/sockets/control-socket.ts";
import type { AgentAnswer, AgentRequest } from "../model/agent-control.ts";
import { JijiError } from "../model/errors.ts";
import { drainRequestSchema, type DrainAnswer } from "../model/node-drain.ts";
import { PATHS } from "../model/paths.ts";
import { reportFailure, type Out } from "./out.ts";
import { parseRequest } from "./requests.ts";

/** How the agent is asked; tests give another. */
export type AskAgent = (request: AgentRequest) => Promise<AgentAnswer>;

const askRunning: AskAgent = (request) => askAgent(PATHS.agentControlSocket, request);

/** `jiji node drain`: one request on standard input, one {@link DrainAnswer} line out. Exit 0, else 1. */
export async function runNodeDrain(input: string, out: Out, ask: AskAgent = askRunning): Promise<number> {
  try {
    const { container, undo } = parseRequest(drainRequestSchema, input);
    const answer = await asked(ask, { type: "drain", container, undo });
    if (answer.type === "refused") throw new JijiError("conflict", answer.why);
    if (answer.type !== "drained") throw new JijiError("remote", "its agent answered something else");
    out(answer satisfies DrainAnswer);
    return 0;
  } catch (error) {
    return reportFailure(error, out);
  }
}

async function asked(ask: AskAgent, request: AgentRequest): Promise<AgentAnswer> {
  try {
    return await ask(request);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new JijiError("remote", `its agent could not be asked: ${why}`, {
      hint: "systemctl status jiji-agent on that server",
      cause,
    });
  }
}
