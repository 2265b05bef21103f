import type { EngineSide, InspectAnswer, RowSide } from "../../model/node/inspect.ts";
import type { TracedRow } from "../../model/dns-trace.ts";
import type { Reading } from "../../model/reading.ts";
import { answersOf, failuresOf } from "../servers/asked-servers.ts";
import type { Candidate, Search } from "./container-search.ts";

/** One property of the container, as three sources give it; null: that source does not have it. */
export interface Fact {
  readonly what: string;
  readonly engine: string | null;
  readonly store: string | null;
  readonly dns: string | null;
  readonly differs: boolean;
}

/** What one server knows of the container. */
export interface ServerView {
  readonly server: string;
  readonly isOwner: boolean;
  readonly store: View;
  readonly dns: View;
}

export interface View {
  readonly text: string;
  readonly differs: boolean;
}

/** A container from all sides. */
export interface Inspection {
  readonly container: Candidate;
  /** whose store and jiji-dns the facts come from: the owner's, else another server's */
  readonly storeOn: string | null;
  readonly dnsOn: string | null;
  readonly engineKind: string | null;
  readonly facts: readonly Fact[];
  readonly names: TracedRow["names"];
  readonly servers: readonly ServerView[];
  /** what else people should know */
  readonly remarks: readonly string[];
  /** how many facts and views are not as they should be */
  readonly differences: number;
}

/** Compares what the servers answered. Pure. */
export function compareSides({ chosen, outcomes }: Search): Inspection {
  const answers = answersOf(outcomes);
  const owner = [...answers.values()].find(({ server }) => server.id === chosen.serverId);
  const storeOn =
    owner?.store.state === "found" ? owner : firstWhere(answers, (each) => rowsIn(each, chosen).length > 0);
  const dnsOn = owner?.dns.state === "found" ? owner : firstWhere(answers, (each) => dnsRows(each, chosen).length > 0);
  const rows = rowsIn(storeOn, chosen);
  const [row] = rows;
  const engine = engineOf(owner, chosen);
  const dns = dnsRows(dnsOn, chosen);
  const shown = dns.find(({ isAnswered }) => isAnswered) ?? dns[0];
  const facts = factsOf({ engine, row, dns: shown, kind: owner?.engine.state });
  const servers = [
    ...[...answers].map(([server, answer]) => serverView(server, answer, { chosen, row, owner })),
    ...failuresOf(outcomes).map(({ server, error }) => silentView(server, error.message, chosen)),
  ];
  const views = servers.flatMap(({ store, dns: view }) => [store, view]);
  return {
    container: chosen,
    storeOn: storeOn?.server.name ?? null,
    dnsOn: dnsOn?.server.name ?? null,
    engineKind: owner?.engineKind ?? null,
    facts,
    names: shown?.names ?? [],
    servers,
    remarks: [...remarksOf(owner, engine, rows, chosen), ...claimsOf(answers, chosen)],
    differences: [...facts, ...views].filter(({ differs }) => differs).length,
  };
}

function rowsIn(answer: InspectAnswer | undefined, { containerId, serverId }: Candidate): readonly RowSide[] {
  if (answer?.store.state !== "found") return [];
  return answer.store.value
    .filter((row) => row.containerId === containerId && row.serverId === serverId)
    .toSorted((a, b) => b.rev - a.rev);
}

function firstWhere(
  answers: ReadonlyMap<string, InspectAnswer>,
  fits: (answer: InspectAnswer) => boolean,
): InspectAnswer | undefined {
  return [...answers.values()].find(fits);
}

function engineOf(owner: InspectAnswer | undefined, { containerId }: Candidate): EngineSide | undefined {
  return owner?.engine.state === "found" ? owner.engine.value.find(({ id }) => id === containerId) : undefined;
}

function dnsRows(answer: InspectAnswer | undefined, { serverId }: Candidate): readonly TracedRow[] {
  return answer?.dns.state === "found" ? answer.dns.value.rows.filter((row) => row.serverId === serverId) : [];
}

interface Sides {
  readonly engine: EngineSide | undefined;
  readonly row: RowSide | undefined;
  readonly dns: TracedRow | undefined;
  /** the state of the owner's engine reading; undefined: the owner did not answer */
  readonly kind: Reading<unknown>["state"] | undefined;
}

function factsOf({ engine, row, dns, kind }: Sides): readonly Fact[] {
  const published = engine?.published;
  const isGone = kind === "found" && engine === undefined;
  const fact = (what: string, from: string | null, stored: string | null, answered: string | null = null): Fact => ({
    what,
    engine: from,
    store: stored,
    dns: answered,
    differs: new Set([from, stored, answered].filter((text) => text !== null)).size > 1,
  });
  const state: Fact = {
    what: "state",
    engine: isGone ? "no such container" : engine === undefined ? null : engineWords(engine),
    store: row?.state ?? (kind === undefined ? null : "no row"),
    dns: dns?.state ?? null,
    differs:
      isGone || !isStateRight(engine, row) || (dns !== undefined && row !== undefined && dns.state !== row.state),
  };
  return [
    state,
    fact(
      "address",
      engine === undefined ? null : dash(engine.address),
      said(row, ({ address }) => dash(address)),
      said(dns, ({ address }) => dash(address)),
    ),
    fact("project", published?.project ?? null, row?.project ?? null),
    fact("service", published?.service ?? null, row?.service ?? null),
    fact(
      "instance",
      said(published, ({ instance }) => dash(instance)),
      said(row, ({ instance }) => dash(instance)),
    ),
    fact(
      "ports",
      said(published, ({ ports }) => list(ports)),
      said(row, ({ ports }) => list(ports)),
    ),
    fact("name", published?.name ?? engine?.name ?? null, row?.name ?? null),
    fact("image", published?.image ?? engine?.image ?? null, row?.image ?? null),
    fact(
      "rev",
      null,
      said(row, ({ rev }) => String(rev)),
      said(dns, ({ rev }) => String(rev)),
    ),
  ];
}

function said<T>(side: T | null | undefined, read: (side: T) => string): string | null {
  return side === null || side === undefined ? null : read(side);
}

function dash(text: string | null): string {
  return text ?? "-";
}

function list(texts: readonly string[]): string {
  return texts.length === 0 ? "-" : texts.join(" ");
}

function engineWords({ state, health }: EngineSide): string {
  return health === "none" ? state : `${state}, ${health}`;
}

/** Whether the row agrees with the engine. A check or a drain may overrule the engine. */
function isStateRight(engine: EngineSide | undefined, row: RowSide | undefined): boolean {
  if (engine === undefined) return true;
  if (engine.published === null || row === undefined) return (engine.published === null) === (row === undefined);
  if (engine.state !== "running") return row.state === engine.published.state;
  return row.state === "draining" || engine.hasCheck || row.state === engine.published.state;
}

/** What a server's view is compared with: the owner's row. */
interface Expected {
  readonly chosen: Candidate;
  readonly row: RowSide | undefined;
  readonly owner: InspectAnswer | undefined;
}

function serverView(server: string, answer: InspectAnswer, expected: Expected): ServerView {
  const isOwner = answer.server.id === expected.chosen.serverId;
  return { server, isOwner, store: storeView(answer, expected), dns: dnsView(answer, expected) };
}

function storeView(answer: InspectAnswer, { chosen, row }: Expected): View {
  if (answer.store.state !== "found") return { text: unknownText(answer.store), differs: true };
  const [own] = rowsIn(answer, chosen);
  if (own === undefined) return { text: "no row", differs: row !== undefined };
  const isSame = row !== undefined && own.rev === row.rev && own.n === row.n && own.state === row.state;
  return { text: `row ${own.n}, ${own.state}, rev ${own.rev}`, differs: !isSame };
}

function dnsView(answer: InspectAnswer, { chosen, row, owner }: Expected): View {
  if (answer.dns.state !== "found") return { text: unknownText(answer.dns), differs: true };
  if (answer.dns.value.source === "none") return { text: "it has read nothing yet", differs: true };
  const isExpected = row?.state === "healthy" && row.address !== null && chosen.server !== null;
  const rows = dnsRows(answer, chosen);
  const answered = rows.find(({ isAnswered }) => isAnswered);
  if (answered !== undefined) {
    const names = answered.names.filter(({ isHeld }) => isHeld).map(({ name }) => name);
    return { text: `answers ${names.join(", ")}`, differs: !isExpected };
  }
  const [known] = rows;
  if (known === undefined) return { text: "does not know it", differs: row !== undefined };
  // Two servers behind NAT never have a path to each other.
  if (isExpected && answer.server.isNat && owner?.server.isNat === true && answer !== owner) {
    return { text: "leaves it out: both servers are behind NAT, so there is no path", differs: false };
  }
  return { text: `leaves it out: ${known.why ?? "it has no name"}`, differs: isExpected };
}

function unknownText(reading: Reading<unknown>): string {
  return reading.state === "unknown" ? `unknown: ${reading.why}` : "unknown";
}

function silentView(server: string, why: string, { server: owner }: Candidate): ServerView {
  const unknown = { text: "unknown", differs: false };
  return { server, isOwner: server === owner, store: { text: `not asked: ${why}`, differs: false }, dns: unknown };
}

function remarksOf(
  owner: InspectAnswer | undefined,
  engine: EngineSide | undefined,
  rows: readonly RowSide[],
  chosen: Candidate,
): readonly string[] {
  const remarks: string[] = [];
  const [row] = rows;
  if (chosen.server === null) {
    remarks.push("the owner of the row is no member, so nobody answers it; jiji network gc says more");
  } else if (owner === undefined) {
    remarks.push(`its server ${chosen.server} was not asked, so the engine's view is missing`);
  } else if (owner.engine.state === "unknown") {
    remarks.push(`its engine does not answer: ${owner.engine.why}; rows stay as they are meanwhile`);
  } else if (engine === undefined) {
    remarks.push("its engine has no such container: the row is stale; jiji network gc says more");
  }
  remarks.push(...(engine?.problems ?? []));
  if (engine?.hasCheck === true) remarks.push("its label jiji.check decides whether it is healthy");
  if (row?.state === "draining") {
    remarks.push("it is draining, by jiji network drain or because it is being stopped: a start ends that");
  }
  if (rows.length > 1) {
    remarks.push(
      `the store has ${rows.length} rows of it: ${rows.map(({ n }) => n).join(", ")}; its agent removes one`,
    );
  }
  return remarks;
}

/** Other servers whose rows claim the container. */
function claimsOf(
  answers: ReadonlyMap<string, InspectAnswer>,
  { containerId, serverId }: Candidate,
): readonly string[] {
  const others = new Set<string>();
  for (const { store } of answers.values()) {
    for (const row of store.state === "found" ? store.value : []) {
      if (row.containerId === containerId && row.serverId !== serverId) others.add(row.server ?? row.serverId);
    }
  }
  return [...others].map((other) => `${other} has a row with this container's id, which is not its own`);
}
