import { serverAddress, type ClusterCidr } from "../../model/cluster.ts";
import { finding } from "../../model/finding.ts";
import type { NodeStatus } from "../../model/node/status.ts";
import type { CliContext } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { connectFleet, type ReachedServer, type UnreachedServer } from "../servers/fleet.ts";
import type { LoadedConfig } from "../load-config.ts";
import { withMesh, type MeshOptions } from "../servers/mesh.ts";
import { NodeClient } from "../servers/node-client.ts";
import { asJijiError, type Output } from "../output.ts";
import { joinNotes } from "./joins.ts";
import { renderStatus, type StatusRow } from "./text.ts";

/** `jiji network status`: every server of the file as it is now. Exit 5 when one of them is not healthy. */
export async function networkStatus(context: CliContext, output: Output, options: MeshOptions): Promise<ExitCode> {
  return withMesh(context, options, async (mesh) => {
    const { loaded, servers } = mesh;
    const { clusterCidr } = loaded.config.network;
    const fleet = await connectFleet(mesh, servers);
    const asked = await Promise.all(fleet.reached.map((server) => askServer(server, clusterCidr, context)));
    const rows = [...asked, ...fleet.unreached.map(unreachedRow)].toSorted(byPlace);
    const code = rows.every(({ state }) => state === "healthy") ? EXIT.ok : EXIT.unhealthy;
    const store = findStore(fleet.reached, rows);
    const notes = [...notesOf(store), ...joinNotes(rows, context.clock.nowMs())];
    if (options.json) output.json(code, toJson(loaded, rows, store));
    else output.data(renderStatus(titleOf(loaded, rows), rows, output.colors, notes));
    return code;
  });
}

function titleOf({ config }: LoadedConfig, rows: readonly StatusRow[]): string {
  const healthy = rows.filter(({ state }) => state === "healthy").length;
  return `${config.project}: ${config.network.clusterCidr}, ${healthy} of ${rows.length} servers healthy`;
}

/** Where the mesh keeps its records: null when no member could be asked. */
type MeshStore = { readonly kind: "corrosion" } | { readonly kind: "embedded"; readonly holder: string } | null;

function findStore(reached: readonly ReachedServer[], rows: readonly StatusRow[]): MeshStore {
  const store = reached.flatMap(({ spec }) => (spec === undefined ? [] : [spec.store]))[0];
  if (store === undefined) return null;
  if (store.kind === "corrosion") return { kind: "corrosion" };
  const members = rows.flatMap(({ status }) => status?.members ?? []);
  return {
    kind: "embedded",
    holder: members.find(({ subnet }) => subnet === store.holder)?.name ?? `number ${store.holder}`,
  };
}

function notesOf(store: MeshStore): string[] {
  if (store?.kind !== "embedded") return [];
  const { holder } = store;
  return [`the records are kept on ${holder} alone: while it is away names keep resolving, and nothing new is learned`];
}

function byPlace(a: StatusRow, b: StatusRow): number {
  const number = (row: StatusRow): number =>
    row.status?.identity.state === "found" ? row.status.identity.value.subnet : 1000;
  return number(a) - number(b) || (a.name < b.name ? -1 : 1);
}

async function askServer(server: ReachedServer, cluster: ClusterCidr, context: CliContext): Promise<StatusRow> {
  const { name, host } = server.config;
  const { probe } = server.connection;
  const base = { name, host, address: null, status: undefined };
  if (probe.privilege === "none") {
    return { ...base, state: "unhealthy", findings: [finding("no-root", { server: name, evidence: probe.sudoSaid })] };
  }
  if (server.spec === undefined) {
    return { ...base, state: "not set up", findings: [finding("not-set-up", { server: name })] };
  }
  try {
    const client = new NodeClient(server.connection, name, "installed", context.interrupted);
    return rowOf(server, await client.ask("status", { probe: false }), cluster);
  } catch (error) {
    context.interrupted.throwIfAborted();
    const { message, hint } = asJijiError(error);
    const silent = finding("no-answer", { server: name, evidence: message, cure: hint });
    return { ...base, state: "unhealthy", findings: [silent] };
  }
}

function rowOf(server: ReachedServer, { findings: said, ...status }: NodeStatus, cluster: ClusterCidr): StatusRow {
  const { name, host } = server.config;
  const { identity } = status;
  if (identity.state === "absent") {
    const findings = [finding("no-member", { server: name })];
    return { name, host, address: null, status, state: "not set up", findings };
  }
  const findings = said.map((found) => ({ ...found, server: name }));
  const state = findings.some(({ severity }) => severity === "error") ? "unhealthy" : "healthy";
  const cidr = server.spec?.cluster.cidr ?? cluster;
  const address = identity.state === "found" ? serverAddress(cidr, identity.value.subnet) : null;
  return { name, host, address, status, state, findings };
}

function unreachedRow({ config, error, isAway }: UnreachedServer): StatusRow {
  const { name, host } = config;
  const away = finding(isAway ? "unreachable" : "login", { server: name, evidence: error.message, cure: error.hint });
  return { name, host, state: "unreachable", address: null, status: undefined, findings: [away] };
}

function toJson({ config }: LoadedConfig, rows: readonly StatusRow[], store: MeshStore): object {
  return {
    project: config.project,
    clusterCidr: config.network.clusterCidr,
    store,
    servers: rows.map(({ status, ...row }) => ({ ...row, status: status ?? null })),
  };
}
