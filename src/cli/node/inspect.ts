import { publicationOf, type PublishContext } from "../../agent/publish.ts";
import { readIdentity } from "../../apply/identity-kind.ts";
import { readMembers } from "../../apply/members-kind.ts";
import { askContainer } from "../../dns/control-client.ts";
import type { Engine, EngineContainer } from "../../engine/engine.ts";
import { openEngine } from "../../engine/open.ts";
import { matchRank } from "../../model/container-match.ts";
import { parseContainerRecord, type ContainerRecord } from "../../model/container-record.ts";
import { JijiError } from "../../model/errors.ts";
import {
  inspectRequestSchema,
  type DnsSide,
  type EngineSide,
  type InspectAnswer,
  type PublishedView,
  type RowSide,
} from "../../model/node-inspect.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import { PATHS } from "../../model/paths.ts";
import { ENGINE_NETWORK } from "../../model/ports.ts";
import { ABSENT, found, unknown, type Reading } from "../../model/reading.ts";
import { verifiedMembers } from "../../plan/members.ts";
import { SUBSCRIPTIONS } from "../../store/queries.ts";
import type { StoreClient } from "../../store/store.ts";
import type { Host } from "../../system/host.ts";
import { openOwnStore, requireSpec } from "./own-store.ts";
import { reportFailure, type Out } from "./out.ts";
import { parseRequest } from "./requests.ts";

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
    const { view, rows } = await askContainer(PATHS.dnsControlSocket, containerId);
    return { source: view.source, rows };
  },
};

/** More than this fit only a text that says nothing. */
const MAX_MATCHES = 50;

const STORE_MS = 20_000;

/** `jiji node inspect`: one request on standard input, one {@link InspectAnswer} line out. Never writes. */
export async function runNodeInspect(
  input: string,
  host: Host,
  out: Out,
  sources: InspectSources = SOURCES,
): Promise<number> {
  try {
    const { container } = parseRequest(inspectRequestSchema, input);
    out(await inspect(container, host, sources));
    return 0;
  } catch (error) {
    return reportFailure(error, out);
  }
}

async function inspect(text: string, host: Host, sources: InspectSources): Promise<InspectAnswer> {
  const spec = await requireSpec(host.files);
  const [identity, members] = [await readIdentity(host.files), await readMembers(host.files)];
  if (identity.state !== "found") {
    const why = identity.state === "unknown" ? identity.why : "it is no member yet";
    throw new JijiError("remote", why, { hint: "jiji network setup" });
  }
  const known = members.state === "found" ? verifiedMembers(members.value) : [];
  const { id, name, subnet } = identity.value.identity;
  const names = new Map([[id, name], ...known.map((member) => [member.id, member.name] as const)]);
  const context = { network: ENGINE_NETWORK, cluster: spec.cluster.cidr, subnet };
  const [engine, store, dns] = await Promise.all([
    lookInEngine(sources.openEngine(spec), text, context),
    lookInStore(() => sources.openStore(host, spec), text, names),
    lookInDns(sources, text),
  ]);
  return {
    type: "inspected",
    server: { id, name },
    engineKind: spec.engine,
    engine: bounded(engine),
    store: bounded(store),
    dns,
    isCut: isLong(engine) || isLong(store),
  };
}

type Ranked = { readonly rank: number };

function isLong(reading: Reading<readonly Ranked[]>): boolean {
  return reading.state === "found" && reading.value.length > MAX_MATCHES;
}

/** The best ones first. */
function bounded<T extends Ranked>(reading: Reading<readonly T[]>): Reading<T[]> {
  if (reading.state !== "found") return reading;
  return found(reading.value.toSorted((a, b) => a.rank - b.rank).slice(0, MAX_MATCHES));
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
  // One that is not on the network has no row; that is what somebody who looks for it wants to know.
  const elsewhere = await engine.container(text);
  if (elsewhere.state !== "found") return found([]);
  return found([{ ...describe(elsewhere.value, context), rank: 0 }]);
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
    name: container.name.slice(0, 300),
    image: container.imageName.slice(0, 300),
    state: container.state,
    health: container.health,
    address: container.networks[context.network] ?? null,
    isOnNetwork,
    published: published === undefined || !isOnNetwork ? null : viewOf(published),
    hasCheck: check !== undefined,
    problems: [...(isOnNetwork ? [] : [`it is not on the network ${context.network}`]), ...problems],
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
    name: record.meta["name"] ?? "",
    image: record.meta["image"] ?? "",
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
    return unknown(error instanceof Error ? error.message : String(error));
  } finally {
    client?.close();
  }
}

async function lookInDns(sources: InspectSources, text: string): Promise<Reading<DnsSide>> {
  if (!/^[0-9a-f]{64}$/.test(text)) return ABSENT;
  try {
    return found(await sources.dns(text));
  } catch (error) {
    return unknown(error instanceof Error ? error.message : String(error));
  }
}
