import { JijiError, messageOf } from "../../model/errors.ts";
import { askControlSocket } from "../../system/control-socket.ts";
import { controlAnswerSchema, type ControlAnswer, type ControlRequest } from "./control-protocol.ts";

/** Names of tens of thousands of containers come in one line. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** Asks jiji-dns; each request has the answer of its own type. Throws a {@link JijiError}. */
export async function askDns<Type extends ControlRequest["type"]>(
  socketPath: string,
  request: Extract<ControlRequest, { type: Type }>,
): Promise<Extract<ControlAnswer, { type: Type }>> {
  try {
    const answer = controlAnswerSchema.parse(await askControlSocket(socketPath, request, MAX_ANSWER_BYTES));
    if (answer.type === request.type) return answer as Extract<ControlAnswer, { type: Type }>;
    throw new Error(answer.type === "error" ? answer.message : "it answered something else");
  } catch (cause) {
    const why = messageOf(cause);
    const hint = "systemctl status jiji-dns";
    throw new JijiError("remote", `jiji-dns could not be asked at ${socketPath}: ${why}`, { hint, cause });
  }
}
