import type { DeployConfig } from "../config/deploy-config.ts";
import { parseArch } from "../model/architecture.ts";
import { finding, type Finding } from "../model/finding.ts";
import type { DnsLabel } from "../model/names.ts";
import type { NodeSpec, StoreChoice } from "../model/node-spec.ts";
import { allocate, type Seat } from "./allocation.ts";
import { chooseEngine, findUnfit } from "./fitness.ts";
import { collectMesh, type Mesh } from "./mesh.ts";
import type { ObservedServer } from "./observed-server.ts";
import type { ReleaseChoice } from "./release-choice.ts";

/** How every server of the file that answered should be. */
export interface DesiredState {
  readonly servers: ReadonlyMap<DnsLabel, DesiredServer>;
  readonly mesh: Mesh;
  /** for people: what was decided that the file does not say */
  readonly notes: readonly string[];
}

export interface DesiredServer {
  readonly seat: Seat;
  readonly spec: NodeSpec;
  /** false: it keeps the spec that it has and is only told of the others */
  readonly selected: boolean;
}

/**
 * From the file and what all servers say of themselves to one spec per server, or to all the reasons why not. Pure: the
 * same input gives the same specs, in whatever order the servers come.
 */
export function computeDesiredState(
  config: DeployConfig,
  observed: readonly ObservedServer[],
  release: ReleaseChoice,
): { readonly ok: true; readonly state: DesiredState } | { readonly ok: false; readonly findings: readonly Finding[] } {
  const servers = observed.toSorted((a, b) => (a.config.name < b.config.name ? -1 : 1));
  const { mesh, findings: meshFindings } = collectMesh(servers);
  const { seats, findings: seatFindings } = allocate(config.network.clusterCidr, servers, mesh);
  const store = chooseStore(config, servers, seats);
  const findings = [
    ...meshFindings,
    ...seatFindings,
    ...store.findings,
    ...servers
      .filter(({ selected }) => selected)
      .flatMap((server) => findUnfit(server, seats.get(server.config.name), config.network, release)),
  ];
  if (findings.length > 0 || store.choice === undefined) return { ok: false, findings };
  const desired = new Map<DnsLabel, DesiredServer>();
  const notes: string[] = [];
  for (const server of servers) {
    const seat = seats.get(server.config.name);
    if (seat === undefined) continue;
    const spec = server.selected ? specOf(server, seat, config, release, store.choice) : existingSpec(server);
    if (spec === undefined) continue;
    desired.set(server.config.name, { seat, spec, selected: server.selected });
    if (seat.name !== server.config.name) {
      notes.push(`${server.config.name} is called ${seat.name} in the mesh; that name stays`);
    }
  }
  notes.push(...costOfStore(config), ...pathlessPairs(config));
  return { ok: true, state: { servers: desired, mesh, notes } };
}

function existingSpec(server: ObservedServer): NodeSpec | undefined {
  return server.facts.spec.state === "found" ? server.facts.spec.value : undefined;
}

function specOf(
  server: ObservedServer,
  seat: Seat,
  config: DeployConfig,
  release: ReleaseChoice,
  store: StoreChoice,
): NodeSpec | undefined {
  const arch = parseArch(server.facts.arch);
  const engine = chooseEngine(server);
  if (arch === undefined || engine === undefined) return undefined;
  const corrosion = release.corrosion?.byArch[arch];
  return {
    version: 1,
    name: seat.name,
    subnet: seat.subnet,
    cluster: { cidr: config.network.clusterCidr, mtuBytes: config.network.mtuBytes },
    engine,
    store,
    dns: config.network.dns,
    endpoints: server.endpoints,
    nat: server.config.nat,
    release: {
      jiji: { version: release.jiji.version, sha256: release.jiji.byArch[arch].sha256 },
      ...(release.corrosion === undefined || corrosion === undefined
        ? {}
        : { corrosion: { version: release.corrosion.version, sha256: corrosion.sha256 } }),
    },
  };
}

function chooseStore(
  config: DeployConfig,
  servers: readonly ObservedServer[],
  seats: ReadonlyMap<DnsLabel, Seat>,
): { readonly choice: StoreChoice | undefined; readonly findings: Finding[] } {
  const { store } = config.network;
  const stored = servers.flatMap(({ facts }) => (facts.spec.state === "found" ? [facts.spec.value.store] : []))[0];
  if (store.kind === "corrosion") return { choice: { kind: "corrosion" }, findings: [] };
  const holder = seats.get(store.holder)?.subnet ?? (stored?.kind === "embedded" ? stored.holder : undefined);
  if (holder === undefined) {
    const away = finding("store-holder-away", { server: store.holder, holder: store.holder });
    return { choice: undefined, findings: [away] };
  }
  if (stored?.kind === "embedded" && stored.holder !== holder) {
    const values = { server: store.holder, here: stored.holder, holder: store.holder, subnet: holder };
    return { choice: undefined, findings: [finding("store-moved", values)] };
  }
  return { choice: { kind: "embedded", holder }, findings: [] };
}

/** A store on one server is a choice for a trial, and nobody should have to find out when that server is away. */
function costOfStore({ network: { store } }: DeployConfig): string[] {
  if (store.kind === "corrosion") return [];
  const { holder } = store;
  return [
    `the records are kept on ${holder} alone (network.store), which is for trials: while ${holder} is away, names keep resolving from what was known and nothing new is learned; without that line every server has them, in Corrosion`,
  ];
}

/** Two servers behind NAT never meet; that is no failure, but nobody should have to find out by waiting. */
function pathlessPairs(config: DeployConfig): string[] {
  const hidden = config.servers.filter(({ nat }) => nat).map(({ name }) => name);
  if (hidden.length < 2) return [];
  return [`${hidden.toSorted().join(", ")} are all behind NAT (nat: true): they have no direct path to each other`];
}
