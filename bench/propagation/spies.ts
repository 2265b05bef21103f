import { createConnection } from "node:net";
import { EventLog, labNowMs } from "../../lab/event-log.ts";
import type { Lab } from "../../lab/lab.ts";
import { agentLineSchema } from "../../src/model/agent-protocol.ts";
import { parseContainerRecord, type ContainerRecord } from "../../src/model/container-record.ts";
import { openStoreClient } from "../../src/store/client.ts";
import { SUBSCRIPTIONS } from "../../src/store/queries.ts";
import { formatStoreUrl } from "../../src/store/store-url.ts";
import { splitLines } from "../../src/system/line-split.ts";

/** A record that came by somewhere; undefined: the row went. */
interface SeenRecord {
  readonly atMs: number;
  readonly record: ContainerRecord | undefined;
}

interface SeenEvent {
  readonly atMs: number;
  readonly action: string;
  readonly containerId: string;
}

export interface Spy<Event extends { readonly atMs: number }> {
  readonly log: EventLog<Event>;
  close(): void;
}

const MAX_LINE_BYTES = 4 * 1024 * 1024;

/** A server's unix socket, as this machine sees it. */
function socketOf(lab: Lab, server: string, path: string): string {
  const leader = lab.servers.find(({ name }) => name === server)?.leaderPid();
  return `/proc/${leader ?? 0}/root${path}`;
}

/** What a server's agent tells its jiji-dns of records. */
export function spyOnNews(lab: Lab, server: string): Spy<SeenRecord> {
  const log = new EventLog<SeenRecord>();
  const socket = createConnection({ path: socketOf(lab, server, "/run/jiji/agent/agent.sock") });
  const read = async (): Promise<void> => {
    for await (const text of splitLines(socket, MAX_LINE_BYTES)) {
      const atMs = labNowMs();
      const line = agentLineSchema.parse(JSON.parse(text));
      if (line.type !== "news") continue;
      for (const { record } of line.records) log.add({ atMs, record: parseContainerRecord(record) });
    }
  };
  read().catch(() => undefined);
  return { log, close: () => socket.destroy() };
}

/** What a server's own store says to a subscription. */
export async function spyOnStore(lab: Lab, server: string): Promise<Spy<SeenRecord>> {
  const log = new EventLog<SeenRecord>();
  const url = formatStoreUrl({ kind: "unix", path: socketOf(lab, server, "/run/jiji/agent/store.sock") });
  const client = openStoreClient({ url });
  const subscription = await client.subscribe({ sql: SUBSCRIPTIONS.containers });
  const read = async (): Promise<void> => {
    for await (const event of subscription) {
      if (event.type !== "change") continue;
      log.add({ atMs: labNowMs(), record: parseContainerRecord(String(event.values[2])) });
    }
  };
  read().catch(() => undefined);
  return {
    log,
    close: () => {
      subscription.close();
      client.close();
    },
  };
}

/** A server's Docker: its events with its own times, and a way to start and end a container without a program's start. */
export interface DockerSpy extends Spy<SeenEvent> {
  call(path: string): Promise<void>;
}

export async function spyOnDocker(lab: Lab, server: string): Promise<DockerSpy> {
  const unix = socketOf(lab, server, "/run/docker.sock");
  const log = new EventLog<SeenEvent>();
  const stop = new AbortController();
  const filters = encodeURIComponent(JSON.stringify({ type: ["container"] }));
  const response = await fetch(`http://docker/events?filters=${filters}`, { unix, signal: stop.signal });
  const read = async (): Promise<void> => {
    if (response.body === null) return;
    for await (const text of splitLines(response.body, MAX_LINE_BYTES)) {
      const event = JSON.parse(text) as { Action: string; Actor: { ID: string }; timeNano: number };
      log.add({ atMs: event.timeNano / 1e6, action: event.Action, containerId: event.Actor.ID });
    }
  };
  read().catch(() => undefined);
  return {
    log,
    close: () => stop.abort(),
    call: async (path) => {
      const answer = await fetch(`http://docker${path}`, { method: "POST", unix });
      if (answer.status >= 400) throw new Error(`docker ${path}: ${answer.status} ${await answer.text()}`);
    },
  };
}
