import { chmod, mkdir, rm } from "node:fs/promises";
import { createConnection, createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import type { z } from "zod";
import { messageOf } from "../model/errors.ts";
import { splitLines } from "./line-split.ts";

const MAX_REQUEST_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 16;
const TIMEOUT_MS = 10_000;

export interface ControlSocketOptions<Request, Answer> {
  /** its folder is created; the rights of both decide who may ask */
  readonly path: string;
  readonly mode: number;
  readonly request: z.ZodType<Request>;
  readonly answer: (request: Request) => Answer | Promise<Answer>;
  /** the answer when a request cannot be read or not be answered */
  readonly refuse: (why: string) => Answer;
}

/** Serves a control socket: a JSON line in, a JSON line out. Rejects when it cannot be made. */
export async function startControlSocket<Request, Answer>(
  options: ControlSocketOptions<Request, Answer>,
): Promise<{ close(): Promise<void> }> {
  const { path, mode } = options;
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  const open = new Set<Socket>();
  let isClosed = false;
  const server = createServer((socket) => {
    // A connection that was accepted before the end, but arrives here after it, would keep the server open.
    if (isClosed) {
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy());
    void serve(socket, options);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  await chmod(path, mode);
  return {
    close: async () => {
      isClosed = true;
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function serve<Request, Answer>(socket: Socket, options: ControlSocketOptions<Request, Answer>): Promise<void> {
  try {
    for await (const line of splitLines(socket, MAX_REQUEST_BYTES)) {
      socket.write(`${JSON.stringify(await answerTo(line, options))}\n`);
    }
    socket.end();
  } catch {
    socket.destroy();
  }
}

async function answerTo<Request, Answer>(
  line: string,
  options: ControlSocketOptions<Request, Answer>,
): Promise<Answer> {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return options.refuse("the request is not JSON");
  }
  const request = options.request.safeParse(json);
  if (!request.success) return options.refuse("the request is not one that this release knows");
  try {
    return await options.answer(request.data);
  } catch (error) {
    return options.refuse(messageOf(error).slice(0, 1000));
  }
}

/** Asks at a control socket. Rejects when nobody listens there, or when no line that is JSON comes back in time. */
export async function askControlSocket(path: string, request: unknown, maxAnswerBytes: number): Promise<unknown> {
  const socket = createConnection({ path });
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no answer in ${TIMEOUT_MS / 1000} s`)));
  socket.write(`${JSON.stringify(request)}\n`);
  try {
    for await (const line of splitLines(socket, maxAnswerBytes)) return JSON.parse(line);
    throw new Error("it gave no answer");
  } finally {
    socket.destroy();
  }
}
