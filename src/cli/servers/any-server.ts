import type { ServerConfig } from "../../config/deploy-config.ts";
import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import { ConnectError, type Connection, type Ssh } from "../../system/connection.ts";
import type { CliContext } from "../context.ts";
import type { Mesh } from "./mesh.ts";
import { NodeClient } from "./node-client.ts";
import { asJijiError } from "../output.ts";

/** Why one server cannot answer. Another one may. */
export class NoAnswer {
  readonly why: string;
  readonly hint: string | undefined;
  /** the server is healthy; another server holds what is asked for */
  readonly isElsewhere: boolean;

  constructor(why: string, hint: string | undefined, isElsewhere = false) {
    this.why = why;
    this.hint = hint;
    this.isElsewhere = isElsewhere;
  }
}

interface Attempt {
  readonly name: string;
  readonly connection: Connection | undefined;
  readonly error: unknown;
}

/**
 * Connects to all servers at once and asks them one after the other, in the order in which their logins succeed, until one
 * has an answer. A server that is away costs no time. What `ask` throws is final. Throws a {@link JijiError} with every
 * server's reason when none has an answer.
 */
export async function askInTurn<T>(
  { context, ssh }: Mesh,
  servers: readonly ServerConfig[],
  ask: (client: NodeClient, name: string) => Promise<T | NoAnswer>,
): Promise<{ readonly name: string; readonly answer: T }> {
  const waiting = new Map<string, Promise<Attempt>>(
    servers.map((server) => [server.name, attempt(context, ssh, server)]),
  );
  const reasons: { readonly name: string; readonly no: NoAnswer }[] = [];
  while (waiting.size > 0) {
    const { name, connection, error } = await Promise.race(waiting.values());
    waiting.delete(name);
    context.interrupted.throwIfAborted();
    const answer = connection === undefined ? reasonOf(error) : await askOne(context, connection, name, ask);
    if (!(answer instanceof NoAnswer)) return { name, answer };
    reasons.push({ name, no: answer });
  }
  const [only, ...others] = reasons;
  if (only !== undefined && others.length === 0) {
    throw new JijiError("connection", only.no.why, { server: only.name, hint: only.no.hint });
  }
  const lines = reasons.map(({ name, no }) => `${name}: ${no.why}`);
  throw new JijiError("connection", `no server could be asked\n  ${lines.join("\n  ")}`, {
    hint: reasons.find(({ no }) => no.hint !== undefined)?.no.hint ?? "jiji network status shows what is wrong",
  });
}

async function attempt(context: CliContext, ssh: Ssh, { name, host, user, port }: ServerConfig): Promise<Attempt> {
  try {
    const connection = await ssh.connect({ name, host, user, port }, context.interrupted);
    return { name, connection, error: undefined };
  } catch (error) {
    return { name, connection: undefined, error };
  }
}

async function askOne<T>(
  context: CliContext,
  connection: Connection,
  name: string,
  ask: (client: NodeClient, name: string) => Promise<T | NoAnswer>,
): Promise<T | NoAnswer> {
  const { privilege, installed } = connection.probe;
  if (privilege === "none") {
    const hint = "log in as root, or allow sudo without a password: sudo -n true must work";
    return new NoAnswer("the login is not root, and sudo asks for a password", hint);
  }
  if (!installed.has(PATHS.executable))
    return new NoAnswer("jiji is not installed there", "run jiji network setup first");
  try {
    return await ask(new NodeClient(connection, name, "installed", context.interrupted), name);
  } catch (error) {
    if (error instanceof JijiError && error.kind === "connection") return new NoAnswer(error.message, error.hint);
    throw error;
  }
}

function reasonOf(error: unknown): NoAnswer {
  if (error instanceof ConnectError) return new NoAnswer(error.message, error.hint);
  const known = asJijiError(error);
  return new NoAnswer(known.message, known.hint);
}
