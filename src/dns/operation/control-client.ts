import { createConnection } from "node:net";
import { JijiError } from "../../model/errors.ts";
import { splitLines } from "../../system/line-split.ts";
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
const MAX_LINE_BYTES = 256 * 1024 * 1024;

const TIMEOUT_MS = 10_000;

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
  const hint = "systemctl status jiji-dns";
  const socket = createConnection({ path: socketPath });
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no answer in ${TIMEOUT_MS / 1000} s`)));
  socket.write(`${JSON.stringify(request)}\n`);
  try {
    for await (const line of splitLines(socket, MAX_LINE_BYTES)) {
      const answer = controlAnswerSchema.parse(JSON.parse(line));
      if (answer.type === expected) return answer;
      throw new Error(answer.type === "error" ? answer.message : "it answered something else");
    }
    throw new Error("it gave no answer");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new JijiError("remote", `jiji-dns could not be asked at ${socketPath}: ${why}`, { hint, cause });
  } finally {
    socket.destroy();
  }
}
