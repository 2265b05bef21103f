import { expect, test } from "bun:test";
import { MarkerMissing } from "../../system/answer-marker.ts";
import type { Connection, Session } from "../../system/connection.ts";
import { NodeClient } from "./node-client.ts";

/** A client whose server gives these lines and this end, whatever it is asked. */
function clientOf(lines: AsyncIterable<string>, code: number, stderr = ""): NodeClient {
  const session: Session = {
    write: async () => undefined,
    end: () => undefined,
    kill: () => undefined,
    lines,
    exited: Promise.resolve({ code, stderr, lost: code === 255 }),
  };
  const connection = { start: () => session } as unknown as Connection;
  return new NodeClient(connection, "web1", "installed", new AbortController().signal);
}

async function* given(...lines: string[]): AsyncGenerator<string> {
  yield* lines;
}

/** Nothing came before the stream ended without its marker. */
async function* unbegun(said: string): AsyncGenerator<string> {
  yield* [];
  throw new MarkerMissing(said);
}

const CASES: readonly (readonly [string, NodeClient, string])[] = [
  ["a forced command", clientOf(unbegun("no shell for you\u001b[2J"), 0), "said: no shell for you\\u001b[2J"],
  ["a shell that ends", clientOf(unbegun(""), 0), "its login shell did not run jiji's command"],
  ["sudo's own words", clientOf(unbegun(""), 1, "sudo: sorry, you must have a tty"), "sorry, you must have a tty"],
  [
    "MaxSessions",
    clientOf(unbegun(""), 255, "mux_client_request_session: session request failed: Session open refused by peer"),
    "its sshd allows too few sessions",
  ],
  ["a lost connection", clientOf(unbegun(""), 255), "the connection was lost"],
  ["noexec", clientOf(given(), 126, "env: Permission denied"), "programs under /opt/jiji cannot be executed"],
  ["something else in the answer", clientOf(given("warning: x"), 0), "does not understand"],
];

for (const [name, client, message] of CASES) {
  test(`${name}: an error that names the server, never an empty answer`, async () => {
    const failed = await client.askUntil("gc", {} as never, "done" as never).catch((error: unknown) => error);
    expect(failed).toMatchObject({ server: "web1", message: expect.stringContaining(message) });
  });
}
