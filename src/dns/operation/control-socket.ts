import { chmod, mkdir, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import { splitLines } from "../../system/line-split.ts";
import { controlRequestSchema, type ControlAnswer } from "./control-protocol.ts";

const MAX_REQUEST_BYTES = 4096;
const MAX_CONNECTIONS = 16;

export type ControlHandler = (
  request: ReturnType<typeof controlRequestSchema.parse>,
) => ControlAnswer | Promise<ControlAnswer>;

/**
 * Serves the control socket: a JSON line in, a JSON line out. Its folder decides who may come. Rejects when it cannot be
 * made.
 */
export async function startControlSocket(path: string, handle: ControlHandler): Promise<{ close(): Promise<void> }> {
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    void serve(socket, handle);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o660);
  return {
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function serve(socket: Socket, handle: ControlHandler): Promise<void> {
  try {
    for await (const line of splitLines(socket, MAX_REQUEST_BYTES)) {
      socket.write(`${JSON.stringify(await answerTo(line, handle))}\n`);
    }
    socket.end();
  } catch {
    socket.destroy();
  }
}

async function answerTo(line: string, handle: ControlHandler): Promise<ControlAnswer> {
  try {
    return await handle(controlRequestSchema.parse(JSON.parse(line)));
  } catch (error) {
    return { type: "error", message: error instanceof Error ? error.message.slice(0, 1000) : "malformed" };
  }
}
