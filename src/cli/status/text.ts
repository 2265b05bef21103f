import { STALE_HANDSHAKE_SECONDS, type NodeStatus } from "../../model/node/status.ts";
import { formatFinding, type Finding } from "../../model/finding.ts";
import { formatAge, formatBytes } from "../duration.ts";
import type { Colors } from "../output.ts";
import { renderTable } from "../table.ts";

export type ServerState = "healthy" | "unhealthy" | "unreachable" | "not set up";

/** What a server says of itself; its findings stand in the row, with its name. */
export type ServerStatus = Omit<NodeStatus, "findings">;

/** One server of the file as status shows it. */
export interface StatusRow {
  /** as in the file */
  readonly name: string;
  readonly host: string;
  readonly state: ServerState;
  readonly address: string | null;
  readonly status: ServerStatus | undefined;
  readonly findings: readonly Finding[];
}

/** The table, the picture of the tunnels, what people should know, and what is wrong. */
export function renderStatus(
  title: string,
  rows: readonly StatusRow[],
  colors: Colors,
  notes: readonly string[] = [],
): string {
  const parts = [colors.bold(title), statusTable(rows, colors)];
  const picture = renderTunnels(rows, colors);
  if (picture !== undefined) parts.push(picture);
  if (notes.length > 0) parts.push(notes.map((line) => colors.dim(`note: ${line}`)).join("\n"));
  const findings = rows.flatMap((row) => row.findings.flatMap((found) => findingLines(row.name, found, colors)));
  if (findings.length > 0) parts.push(findings.join("\n"));
  return parts.join("\n\n");
}

function findingLines(name: string, found: Finding, colors: Colors): string[] {
  const paint = found.severity === "error" ? colors.red : colors.yellow;
  return [`${paint(name)}  ${formatFinding(found)}`, colors.dim(`  hint: ${found.cure}`)];
}

function statusTable(rows: readonly StatusRow[], colors: Colors): string {
  return renderTable(
    ["SERVER", "ADDRESS", "STATE", "PEERS", "HANDSHAKE", "STORE", "DNS", "AGENT", "ENGINE", "CONTAINERS"],
    rows.map((row) => [row.name, row.address ?? "-", paintState(row.state, colors), ...figures(row.status)]),
  );
}

function paintState(state: ServerState, colors: Colors): string {
  if (state === "healthy") return colors.green(state);
  return state === "not set up" ? colors.yellow(state) : colors.red(state);
}

function figures(status: ServerStatus | undefined): string[] {
  if (status === undefined) return Array.from({ length: 7 }, () => "-");
  return [
    peers(status),
    handshake(status),
    store(status),
    dns(status),
    agent(status),
    engine(status),
    containers(status),
  ];
}

/** Peers with a fresh handshake, of all: configured is not connected. */
function peers({ wireguard }: ServerStatus): string {
  if (wireguard.state !== "found") return stateWord(wireguard.state);
  const connected = wireguard.value.peers.filter(isConnected);
  return `${connected.length}/${wireguard.value.peers.length}`;
}

function isConnected({ handshakeAgeSeconds }: { readonly handshakeAgeSeconds: number | null }): boolean {
  return handshakeAgeSeconds !== null && handshakeAgeSeconds <= STALE_HANDSHAKE_SECONDS;
}

/** The oldest of the latest handshakes, since that is the one to look at. */
function handshake({ wireguard }: ServerStatus): string {
  if (wireguard.state !== "found" || wireguard.value.peers.length === 0) return "-";
  const ages = wireguard.value.peers.map(({ handshakeAgeSeconds }) => handshakeAgeSeconds);
  const known = ages.filter((age): age is number => age !== null);
  return known.length < ages.length ? "never" : formatAge(Math.max(...known));
}

function store({ store }: ServerStatus): string {
  if (store.state !== "found") return stateWord(store.state);
  const { kind, rows, sizeBytes } = store.value;
  const size = sizeBytes === null ? "" : `, ${formatBytes(sizeBytes)}`;
  return `${kind}, ${rows === 1 ? "1 row" : `${rows} rows`}${size}`;
}

function dns({ dns }: ServerStatus): string {
  if (dns.state !== "found") return stateWord(dns.state);
  const { udp, tcp, latencyMs } = dns.value;
  if (udp && tcp) return `answers, ${latencyMs.toFixed(1)} ms`;
  return udp ? "UDP only" : tcp ? "TCP only" : "silent";
}

function agent({ agent }: ServerStatus): string {
  if (agent.state !== "found") return stateWord(agent.state);
  return agent.value.ready ? "ready" : "starting";
}

function engine({ engine }: ServerStatus): string {
  return engine.state === "found" ? `${engine.value.kind} ${engine.value.version}` : stateWord(engine.state);
}

function containers({ containers }: ServerStatus): string {
  if (containers.state !== "found") return stateWord(containers.state);
  const counts = Object.entries(containers.value).filter(([, count]) => count > 0);
  return counts.length === 0 ? "none" : counts.map(([state, count]) => `${count} ${state}`).join(", ");
}

function stateWord(state: "absent" | "unknown"): string {
  return state === "absent" ? "missing" : "unknown";
}

/** With more servers than this the matrix is too large to read. */
const LARGEST_PICTURE = 16;

/**
 * Who reaches whom: the age of the latest handshake of each row's server with each column's. Undefined with fewer than two
 * servers.
 */
function renderTunnels(rows: readonly StatusRow[], colors: Colors): string | undefined {
  const drawn = rows.filter(({ status }) => status?.identity.state === "found");
  if (drawn.length < 2 || drawn.length > LARGEST_PICTURE) return undefined;
  const lines = drawn.map((from) => [from.name, ...drawn.map((to) => tunnelCell(from, to, colors))]);
  return renderTable(["TUNNELS", ...drawn.map(({ name }) => name)], lines);
}

function tunnelCell(from: StatusRow, to: StatusRow, colors: Colors): string {
  if (from === to) return "·";
  const id = to.status?.identity.state === "found" ? to.status.identity.value.id : undefined;
  const tunnels = from.status?.wireguard.state === "found" ? from.status.wireguard.value.peers : [];
  const peer = tunnels.find((candidate) => candidate.id === id);
  if (peer === undefined) return colors.red("unknown");
  const { handshakeAgeSeconds: age } = peer;
  if (age === null) return colors.red("never");
  return isConnected(peer) ? formatAge(age) : colors.red(`${formatAge(age)} ago`);
}
