import type { AgentStateLine } from "../../model/agent-protocol.ts";
import type { ClusterCidr } from "../../model/cluster.ts";
import type { ServerId } from "../../model/keys.ts";
import { SUBSCRIPTIONS } from "../../store/queries.ts";
import { StoreError, type StoreClient } from "../../store/store.ts";
import type { Clock } from "../../system/host.ts";
import { ContainerSink } from "./container-sink.ts";
import { MemberSink } from "./member-sink.ts";
import type { RowSink } from "./store-feed.ts";
import { ZoneTable } from "../zone/zone-table.ts";
import { Zone } from "../zone/zone.ts";

export interface StoredTableOptions {
  readonly store: StoreClient;
  readonly clock: Clock;
  readonly cluster: ClusterCidr;
  /** this server's id; undefined: the agent says it, or nobody */
  readonly self: ServerId | undefined;
  /** what the agent says of members and reachability; undefined: members as the store has them, all of them reachable */
  readonly agent: AgentStateLine | undefined;
  readonly ttlSeconds: number;
}

const nothing = (): void => undefined;

/**
 * The table, with its zone, that a jiji-dns would have right after it started with this store, without news. Throws a
 * {@link StoreError} when the store does not give its rows whole.
 */
export async function loadStoredTable(options: StoredTableOptions): Promise<ZoneTable> {
  const { store, clock, cluster, self, agent, ttlSeconds } = options;
  const nowMs = (): number => clock.nowMs();
  const pause = async (): Promise<void> => undefined;
  const zone = new Zone({ cluster, localFirst: false, nowMs });
  const containers = new ContainerSink({
    zone,
    isInUse: () => false,
    onSnapshot: async () => undefined,
    onChange: nothing,
    onUnreadable: nothing,
    pause,
  });
  await readOnce(store, "containers", containers);
  if (agent === undefined) {
    await readOnce(store, "servers", new MemberSink(zone, nothing));
  } else {
    zone.setServers(agent.servers);
    zone.setHidden(new Set(agent.ready ? agent.unreachable : [...agent.unreachable, agent.self]));
  }
  zone.setSelf(self ?? agent?.self);
  const table = new ZoneTable({ zone, seed: 0, ttlSeconds: () => ttlSeconds, nowMs, onTable: nothing, pause });
  await table.rebuild();
  return table;
}

/** A subscription's snapshot: the relay of an agent lets nothing else through. */
async function readOnce<Place>(
  store: StoreClient,
  name: keyof typeof SUBSCRIPTIONS,
  sink: RowSink<Place>,
): Promise<void> {
  const subscription = await store.subscribe({ sql: SUBSCRIPTIONS[name] });
  try {
    sink.begin();
    for await (const event of subscription) {
      if (event.type === "row") sink.snapshotRow(event.values);
      if (event.type !== "ready") continue;
      await sink.snapshotDone();
      return;
    }
  } finally {
    subscription.close();
  }
  throw new StoreError("the store's answer broke off before it was whole");
}
