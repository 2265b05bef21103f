import type { ServerConfig } from "../../config/deploy-config.ts";
import { JijiError } from "../../model/errors.ts";
import { parseNodeSpecFile, type NodeSpec } from "../../model/node-spec.ts";
import { ConnectError } from "../../system/connection.ts";
import type { CliContext } from "../context.ts";
import type { Mesh } from "./mesh.ts";
import { NodeClient } from "./node-client.ts";
import { asJijiError } from "../output.ts";

/** A server that is being asked. It is connected to once, for all questions. */
export interface AskedServer {
  readonly name: string;
  readonly client: Promise<NodeClient>;
  /** what setup gave it last; undefined: nothing that can be read */
  readonly spec: Promise<NodeSpec | undefined>;
}

/** What one server said, or why it said nothing. */
export type Outcome<T> =
  | { readonly server: string; readonly state: "answered"; readonly value: T }
  | { readonly server: string; readonly state: "failed"; readonly error: JijiError };

/**
 * Begins to connect to all of them at once. A connection that fails shows when the client is asked for.
 */
export function connectAll(
  { context, ssh, servers: selected }: Mesh,
  servers: readonly ServerConfig[] = selected,
): readonly AskedServer[] {
  return servers.map(({ name, host, user, port }) => {
    const connecting = ssh.connect({ name, host, user, port }, context.interrupted);
    const client = connecting.then((connection) => new NodeClient(connection, name, "installed", context.interrupted));
    // The failure shows when the client is used, and it need not be used.
    client.catch(() => undefined);
    const spec = connecting.then(
      ({ probe }) => parseNodeSpecFile(probe.spec),
      () => undefined,
    );
    return { name, client, spec };
  });
}

/** After the first answer the others get this long: a server that is away must not delay the command. */
const PATIENCE_MS = 3_000;

/**
 * Asks all servers at once. Resolves when all have answered or failed, or `patienceMs` after the first answer; a server that
 * is still silent then has failed. Outcomes stand in the order of the servers. Rejects only when the command is interrupted.
 */
export async function askAll<T>(
  context: CliContext,
  servers: readonly AskedServer[],
  ask: (client: NodeClient, server: string) => Promise<T>,
  patienceMs = PATIENCE_MS,
): Promise<readonly Outcome<T>[]> {
  const stop = new AbortController();
  const tooLate = (server: string): Outcome<T> => failed(server, new JijiError("connection", "no answer in time"));
  const first = Promise.withResolvers<void>();
  const asked = servers.map(async ({ name, client }): Promise<Outcome<T>> => {
    try {
      const value = await ask(await client, name);
      first.resolve();
      return { server: name, state: "answered", value };
    } catch (error) {
      return failed(name, error);
    }
  });
  const all = Promise.all(asked).then(() => undefined);
  const late = first.promise.then(() => context.clock.sleep(patienceMs, stop.signal).catch(() => undefined));
  await Promise.race([all, late]);
  const outcomes = await Promise.all(
    asked.map((outcome, index) => Promise.race([outcome, lastly(tooLate(servers[index]?.name ?? "?"))])),
  );
  stop.abort();
  context.interrupted.throwIfAborted();
  return outcomes;
}

/** Resolves after every promise that is already settled. */
async function lastly<T>(value: T): Promise<T> {
  await new Promise<void>((resolve) => setImmediate(resolve));
  return value;
}

function failed(server: string, error: unknown): Extract<Outcome<never>, { state: "failed" }> {
  if (error instanceof ConnectError) {
    return { server, state: "failed", error: new JijiError("connection", error.message, { hint: error.hint }) };
  }
  const { kind, message, hint } = asJijiError(error);
  return { server, state: "failed", error: new JijiError(kind, message, { hint }) };
}

/** The answers alone, by server. */
export function answersOf<T>(outcomes: readonly Outcome<T>[]): ReadonlyMap<string, T> {
  return new Map(outcomes.flatMap((each) => (each.state === "answered" ? [[each.server, each.value] as const] : [])));
}

/** The failures alone. */
export function failuresOf<T>(outcomes: readonly Outcome<T>[]): readonly Extract<Outcome<T>, { state: "failed" }>[] {
  return outcomes.filter((each) => each.state === "failed");
}

/** The error for when no server has answered, with every server's reason. */
export function nobodyAnswered(outcomes: readonly Outcome<unknown>[]): JijiError {
  const lines = failuresOf(outcomes).map(({ server, error }) => `${server}: ${error.message}`);
  return new JijiError("connection", `no server could be asked\n  ${lines.join("\n  ")}`, {
    hint: "jiji network status shows what is wrong",
  });
}
