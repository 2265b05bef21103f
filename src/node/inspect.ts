import { publicationOf, type PublishContext } from "../agent/containers/publish.ts";
import { loadIdentity } from "../apply/kinds/identity.ts";
import { askDns } from "../dns/operation/control-client.ts";
import type { Engine, EngineContainer } from "../engine/engine.ts";
import { openEngine } from "../engine/open.ts";
import { matchRank } from "../model/container-match.ts";
import { parseContainerRecord, type ContainerRecord } from "../model/container-record.ts";
import { JijiError, messageOf } from "../model/errors.ts";
import type { DnsSide, EngineSide, InspectAnswer, PublishedView, RowSide } from "../model/node/inspect.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { ENGINE_NETWORK } from "../model/ports.ts";
import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import { SUBSCRIPTIONS } from "../store/queries.ts";
import type { StoreClient } from "../store/store.ts";
import type { Host } from "../system/host.ts";
import { knownMembers, requireSpec } from "./own-files.ts";
import { openOwnStore } from "./own-store.ts";
import type { Call } from "./call.ts";

/** What of a server is asked over sockets rather than through {@link Host}; tests give others. */
export interface InspectSources {
  openEngine(spec: NodeSpec): Engine;
  openStore(host: Host, spec: NodeSpec): Promise<StoreClient>;
  dns(containerId: string): Promise<DnsSide>;
}

const SOURCES: InspectSources = {
  openEngine: (spec) => openEngine(spec.engine),
  openStore: (host, spec) => openOwnStore(host.files, spec),
  dns: async (containerId) => {
    const { view, rows } = await askDns(PATHS.dnsControlSocket, { type: "container", id: containerId });
    return { source: view.source, rows };
  },
};

/** A text that more containers fit says nothing. */
const MAX_MATCHES = 50;

/**
 * Any member can write any number of rows. They must neither push out the rows that matter nor make the answer too long for
 * a line: so one owner has few rows about one container, members' rows come before strangers', and texts are cut.
 */
const MAX_ROWS = 300;
const MAX_ROWS_OF_ONE = 3;
const MAX_TEXT_CHARS = 150;

const STORE_MS = 20_000;

/** `jiji node inspect`. Never writes. */
export async function runNodeInspect(
  { container }: CheckedRequestOf<"inspect">,
  { host, say }: Call<"inspect">,
  sources: InspectSources = SOURCES,
): Promise<void> {
  say(await inspect(container, host, sources));
}

async function inspect(text: string, host: Host, sources: InspectSources): Promise<InspectAnswer> {
  const spec = await requireSpec(host.files);
  const identity = await loadIdentity(host.files);
  if (identity.state !== "found") {
    const why = identity.state === "unknown" ? identity.why : "it is no member yet";
    throw new JijiError("remote", why, { hint: "jiji network setup" });
  }
  const known = await knownMembers(host.files);
  const { id, name, subnet } = identity.value.identity;
  const names = new Map([[id, name], ...known.map((member) => [member.id, member.name] as const)]);
  const context = { network: ENGINE_NETWORK, cluster: spec.cluster.cidr, subnet };
  const [engine, store, dns] = await Promise.all([
    lookInEngine(sources.openEngine(spec), text, context),
    lookInStore(() => sources.openStore(host, spec), text, names),
    lookInDns(sources, text, names),
  ]);
  return {
    type: "inspected",
    server: { id, name, isNat: spec.nat },
    engineKind: spec.engine,
    engine: engine.state === "found" ? found(byRank(engine.value).slice(0, MAX_MATCHES)) : engine,
    store: store.state === "found" ? found(chosenRows(byRank(store.value), names)) : store,
    dns,
    isCut:
      (engine.state === "found" && engine.value.length > MAX_MATCHES) ||
      (store.state === "found" && store.value.length > MAX_ROWS),
  };
}

/** The best ones first. */
function byRank<T extends { readonly rank: number }>(sides: readonly T[]): readonly T[] {
  return sides.toSorted((a, b) => a.rank - b.rank);
}

function chosenRows<T extends { readonly serverId: string; readonly containerId: string }>(
  rows: readonly T[],
  members: ReadonlyMap<string, string>,
): T[] {
  const counts = new Map<string, number>();
  const few = rows.filter(({ serverId, containerId }) => {
    const key = `${serverId} ${containerId}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return (counts.get(key) ?? 0) <= MAX_ROWS_OF_ONE;
  });
  const isOfMember = ({ serverId }: T): boolean => members.has(serverId);
  return [...few.filter(isOfMember), ...few.filter((row) => !isOfMember(row))].slice(0, MAX_ROWS);
}

async function lookInEngine(
  engine: Engine,
  text: string,
  context: PublishContext,
): Promise<Reading<readonly EngineSide[]>> {
  const onNetwork = await engine.containers(context.network);
  if (onNetwork.state !== "found") return onNetwork;
  const sides = onNetwork.value.flatMap((container) => engineSide(container, text, context) ?? []);
  if (sides.length > 0 || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(text)) return found(sides);
  // A container that is not on the network has no row, which is what its operator wants to learn.
  const elsewhere = await engine.container(text);
  if (elsewhere.state !== "found") return found([]);
  const side = describe(elsewhere.value, context);
  const { id, name } = side;
  // The engine also takes the beginning of an id.
  const rank = matchRank(text, { id, name, address: null, project: null, service: null, instance: null }) ?? 4;
  return found([{ ...side, rank }]);
}

function engineSide(container: EngineContainer, text: string, context: PublishContext): EngineSide | undefined {
  const side = describe(container, context);
  const { project = null, service = null, instance = null } = side.published ?? {};
  const { id, name, address } = side;
  const rank = matchRank(text, { id, name, address, project, service, instance });
  return rank === undefined ? undefined : { ...side, rank };
}

function describe(container: EngineContainer, context: PublishContext): Omit<EngineSide, "rank"> {
  const { published, check, problems } = publicationOf(container, context);
  const isOnNetwork = Object.hasOwn(container.networks, context.network);
  return {
    id: container.id,
    name: container.name.slice(0, MAX_TEXT_CHARS),
    image: container.imageName.slice(0, MAX_TEXT_CHARS),
    state: container.state,
    health: container.health,
    address: container.networks[context.network] ?? null,
    isOnNetwork,
    published: published === undefined || !isOnNetwork ? null : viewOf(published),
    hasCheck: check !== undefined,
    problems: [...(isOnNetwork ? [] : [`it is not on the network ${context.network}`]), ...problems].map((problem) =>
      problem.slice(0, 3 * MAX_TEXT_CHARS),
    ),
  };
}

function viewOf(record: Omit<ContainerRecord, "rev">): PublishedView {
  return {
    project: record.project,
    service: record.service,
    instance: record.instance,
    address: record.address,
    state: record.state,
    ports: record.ports.map(({ port, protocol }) => `${port}/${protocol}`),
    name: record.meta["name"]?.slice(0, MAX_TEXT_CHARS) ?? "",
    image: record.meta["image"]?.slice(0, MAX_TEXT_CHARS) ?? "",
  };
}

async function lookInStore(
  open: () => Promise<StoreClient>,
  text: string,
  names: ReadonlyMap<string, string>,
): Promise<Reading<readonly RowSide[]>> {
  let client: StoreClient | undefined;
  try {
    client = await open();
    const sides: RowSide[] = [];
    const rows = await client.stream({ sql: SUBSCRIPTIONS.containers }, { signal: AbortSignal.timeout(STORE_MS) });
    for await (const [serverId, n, json] of rows) {
      if (typeof serverId !== "string" || typeof n !== "number" || typeof json !== "string") continue;
      const record = parseContainerRecord(json);
      if (record === undefined) continue;
      const { containerId, rev, project, service, instance, address } = record;
      const view = viewOf(record);
      const rank = matchRank(text, { id: containerId, name: view.name, address, project, service, instance });
      if (rank === undefined) continue;
      sides.push({ ...view, rank, serverId, server: names.get(serverId) ?? null, n, containerId, rev });
    }
    return found(sides);
  } catch (error) {
    return unknown(messageOf(error));
  } finally {
    client?.close();
  }
}

async function lookInDns(
  sources: InspectSources,
  text: string,
  members: ReadonlyMap<string, string>,
): Promise<Reading<DnsSide>> {
  if (!/^[0-9a-f]{64}$/.test(text)) return ABSENT;
  try {
    const { source, rows } = await sources.dns(text);
    return found({ source, rows: chosenRows(rows, members) });
  } catch (error) {
    return unknown(messageOf(error));
  }
}
