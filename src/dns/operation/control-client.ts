import { JijiError } from "../../model/errors.ts";
import { askControlSocket } from "../../system/control-socket.ts";
import {
  controlAnswerSchema,
  type ContainerAnswer,
  type ControlAnswer,
  type ControlRequest,
  type NamesAnswer,
  type StatusAnswer,
  type TraceAnswer,
} from "./control-protocol.ts";

/** Names of tens of thousands of containers come in one line. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** Every name that jiji-dns publishes and contains `filter` (null: all). Throws a {@link JijiError}. */
export async function askNames(socketPath: string, filter: string | null): Promise<NamesAnswer> {
  return (await ask(socketPath, { type: "names", filter }, "names")) as NamesAnswer;
}

/** How jiji-dns is doing. Throws a {@link JijiError}. */
export async function askStatus(socketPath: string): Promise<StatusAnswer> {
  return (await ask(socketPath, { type: "status" }, "status")) as StatusAnswer;
}

/** Why a name is answered as it is. Throws a {@link JijiError}. */
export async function askTrace(socketPath: string, name: string): Promise<TraceAnswer> {
  return (await ask(socketPath, { type: "trace", name }, "trace")) as TraceAnswer;
}

/** Every row of a container, by its full id. Throws a {@link JijiError}. */
export async function askContainer(socketPath: string, id: string): Promise<ContainerAnswer> {
  return (await ask(socketPath, { type: "container", id }, "container")) as ContainerAnswer;
}

async function ask(socketPath: string, request: ControlRequest, expected: string): Promise<ControlAnswer> {
  try {
    const answer = controlAnswerSchema.parse(await askControlSocket(socketPath, request, MAX_ANSWER_BYTES));
    if (answer.type === expected) return answer;
    throw new Error(answer.type === "error" ? answer.message : "it answered something else");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const hint = "systemctl status jiji-dns";
    throw new JijiError("remote", `jiji-dns could not be asked at ${socketPath}: ${why}`, { hint, cause });
  }
}
