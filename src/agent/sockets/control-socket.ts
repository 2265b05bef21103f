import { connect, createServer, type Socket } from "node:net";
import {
  agentAnswerSchema,
  agentRequestSchema,
  type AgentAnswer,
  type AgentRequest,
} from "../../model/agent-control.ts";
import type { Files } from "../../system/host.ts";

/** A request as it arrives, checked. */
export type CheckedRequest = ReturnType<typeof agentRequestSchema.parse>;

const MAX_REQUEST_CHARS = 64 * 1024;
const MAX_ANSWER_CHARS = 4 * 1024 * 1024;
const PATIENCE_MS = 10_000;

/** Serves root's requests to this agent, one per connection. `answer` must not reject. */
export async function startControlSocket(
  path: string,
  files: Files,
  answer: (request: CheckedRequest) => Promise<AgentAnswer>,
): Promise<{ close(): Promise<void> }> {
  await files.remove(path);
  const open = new Set<Socket>();
  let isClosed = false;
  const server = createServer((socket) => {
    if (isClosed) {
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    void readLine(socket, MAX_REQUEST_CHARS).then(
      async (line) => socket.end(`${JSON.stringify(await answerLine(line, answer))}\n`),
      () => socket.destroy(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  await files.setOwner(path, { mode: 0o600 });
  return {
    close: async () => {
      isClosed = true;
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answerLine(
  line: string,
  answer: (request: CheckedRequest) => Promise<AgentAnswer>,
): Promise<AgentAnswer> {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return { type: "refused", why: "the request is not JSON", candidates: [] };
  }
  const request = agentRequestSchema.safeParse(json);
  return request.success
    ? await answer(request.data)
    : { type: "refused", why: "the request is not one that this release knows", candidates: [] };
}

/** Asks the agent of this server. Rejects when there is none, or when it does not answer as it should. */
export async function askAgent(path: string, request: AgentRequest): Promise<AgentAnswer> {
  const socket = connect(path);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    socket.write(`${JSON.stringify(request)}\n`);
    return agentAnswerSchema.parse(JSON.parse(await readLine(socket, MAX_ANSWER_CHARS)));
  } finally {
    socket.destroy();
  }
}

function readLine(socket: Socket, maxChars: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: Buffer | string) => {
      text += String(chunk);
      const end = text.indexOf("\n");
      if (end >= 0) resolve(text.slice(0, end));
      else if (text.length > maxChars) reject(new Error("the line has no end"));
    });
    socket.on("close", () => reject(new Error("the other side ended before its line did")));
    socket.on("error", reject);
  });
}
