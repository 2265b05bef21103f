import type { QueryEvent, QueryRequest } from "../../model/node/query.ts";
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
  const { events, close } = client.query(request);
  try {
    const { value: first } = await events.next();
    if (first.type === "away") return new NoAnswer(showText(first.why), showText(first.hint));
    if (first.type === "elsewhere") return elsewhere(first.name, first.holder);
    return { first, events: eventsFrom(first, events, close), close };
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
  events: AsyncGenerator<QueryEvent, never>,
  close: () => void,
): AsyncGenerator<QueryEvent> {
  try {
    let event = first;
    for (;;) {
      yield event;
      if (LAST.includes(event.type)) return;
      event = (await events.next()).value;
    }
  } finally {
    close();
  }
}
