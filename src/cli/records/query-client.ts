import { JijiError } from "../../model/errors.ts";
import { queryEventSchema, type QueryEvent, type QueryRequest } from "../../model/query-protocol.ts";
import { showText } from "../../model/shown-text.ts";
import { NoAnswer } from "../servers/any-server.ts";
import type { NodeClient } from "../servers/node-client.ts";

/** The lines of an answer; `events` ends by itself after the last one, and throws a {@link JijiError} when it breaks off. */
export interface QueryAnswer {
  readonly first: QueryEvent;
  readonly events: AsyncGenerator<QueryEvent>;
  close(): void;
}

const LAST: readonly QueryEvent["type"][] = ["end", "rehearsed", "written", "figures"];

/** Asks one server's store. Resolves with the first line of the answer, so that another server can be asked instead. */
export async function openQuery(client: NodeClient, request: QueryRequest): Promise<QueryAnswer | NoAnswer> {
  const { answers, close } = client.stream("query", request);
  try {
    const first = parseEvent((await answers.next()).value);
    if (first.type === "away") return new NoAnswer(showText(first.why), showText(first.hint));
    if (first.type === "elsewhere") return elsewhere(first.name, first.holder);
    return { first, events: eventsFrom(first, answers, close), close };
  } catch (error) {
    close();
    throw error;
  }
}

function elsewhere(name: string | null, holder: number): NoAnswer {
  const who = name === null ? `the member with number ${holder}` : showText(name);
  const hint = name === null ? "name the server that holds it with --server" : `--server ${showText(name)}`;
  return new NoAnswer(`it keeps no store of its own: ${who} holds the mesh's only one`, hint, true);
}

async function* eventsFrom(
  first: QueryEvent,
  answers: AsyncGenerator<unknown>,
  close: () => void,
): AsyncGenerator<QueryEvent> {
  try {
    let event = first;
    for (;;) {
      yield event;
      if (LAST.includes(event.type)) return;
      event = parseEvent((await answers.next()).value);
    }
  } finally {
    close();
  }
}

function parseEvent(value: unknown): QueryEvent {
  const parsed = queryEventSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new JijiError("remote", "it gave an answer that this release does not understand", {
    hint: "compare `jiji --version` here with `/opt/jiji/bin/jiji --version` there",
  });
}
