import { nearest } from "../../config/nearest.ts";
import type { DnsListing } from "../../model/node/dns.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import { showText } from "../../model/shown-text.ts";
import {
  answersOf,
  askAll,
  connectAll,
  failuresOf,
  nobodyAnswered,
  type AskedServer,
} from "../servers/asked-servers.ts";
import type { CliContext } from "../context.ts";
import { diffNames, type Difference, type NameView } from "./dns-differences.ts";
import { askListing } from "../servers/dns-questions.ts";
import { renderDifferences, renderListing } from "./dns-text.ts";
import { natServers, SECOND_LOOK_MS, type DnsReport } from "./dns-report.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { answeredFrom } from "./dns-from.ts";
import { selectServer } from "../servers/host-pattern.ts";
import { withMesh, type MeshOptions } from "../servers/mesh.ts";
import type { Output } from "../output.ts";

export interface DnsOptions extends MeshOptions {
  /** only names that equal or contain this, see {@link normalizeFilter} */
  readonly name: string | undefined;
  /** the server whose jiji-dns is asked over the wire */
  readonly from: string | undefined;
}

/**
 * `jiji network dns`: every name as the first server that answers knows it, and where other servers differ. With `--from`,
 * that server's jiji-dns is asked over the wire. Exit 5 when servers disagree, 1 when no name matches.
 */
export async function networkDns(context: CliContext, output: Output, options: DnsOptions): Promise<ExitCode> {
  return withMesh(context, options, async (mesh) => {
    const from =
      options.from === undefined ? undefined : selectServer(mesh.loaded.config.servers, "--from", options.from);
    const asked = connectAll(mesh, from === undefined ? mesh.servers : [...new Set([from, ...mesh.servers])]);
    const report =
      from === undefined
        ? await listed(context, output, asked, options.name)
        : await answeredFrom(context, output, asked, from.name, options.name);
    return finish(output, options, report);
  });
}

function finish(output: Output, { json, name }: DnsOptions, report: DnsReport): ExitCode {
  const { differences, unasked, isFound } = report;
  const isApart = differences.some(({ isByConfiguration }) => !isByConfiguration);
  const code = !isFound ? EXIT.failed : isApart ? EXIT.unhealthy : EXIT.ok;
  if (json) output.json(code, { ...report.json, differences, unasked });
  else if (isFound) output.data(report.text());
  if (!json && differences.length > 0) output.data(renderDifferences(differences, output.colors));
  for (const { server, why } of unasked) output.warn(`${server} was not asked: ${why}`);
  if (!isFound && name !== undefined) {
    const meant = nearest(name, report.known);
    const hint = meant === undefined ? "jiji network dns shows all names" : `did you mean ${meant}?`;
    output.error(`no name contains ${showText(name)}`, hint);
  }
  return code;
}

async function listed(
  context: CliContext,
  output: Output,
  servers: readonly AskedServer[],
  name: string | undefined,
): Promise<DnsReport> {
  const filter = name ?? null;
  const first = await askAll(context, servers, (client) => askListing(client, { filter, detail: "digest" }));
  const answered = servers.filter((server) => answersOf(first).has(server.name));
  if (answered.length === 0) throw nobodyAnswered(first);
  const primary = await fullListing(context, answered, filter);
  const others = answersOf(first);
  const apart = answered.filter((server) => others.get(server.name)?.digest !== primary.listing.digest);
  const { listing, differences } =
    apart.length === 0
      ? { listing: primary.listing, differences: [] }
      : await lookAgain(context, answered, apart, primary, filter);
  const isFound = name === undefined || listing.names.length > 0 || differences.length > 0;
  const agreeing = answered.filter((server) => !apart.includes(server)).map((server) => server.name);
  return {
    json: { ...listing, asked: answered.map((server) => server.name) },
    text: () => renderListing(listing, agreeing, output.colors),
    isFound,
    known: isFound ? [] : await knownNames(context, answered),
    differences,
    unasked: failuresOf(first).map(({ server, error }) => ({ server, why: error.message })),
  };
}

/** The whole list, from the first server that gives it. */
async function fullListing(
  context: CliContext,
  servers: readonly AskedServer[],
  filter: string | null,
): Promise<{ readonly server: string; readonly listing: DnsListing }> {
  for (const server of servers) {
    const [outcome] = await askAll(context, [server], (client) => askListing(client, { filter }));
    if (outcome?.state === "answered") return { server: server.name, listing: outcome.value };
    if (server === servers.at(-1)) throw outcome?.error ?? new Error("no answer and no reason");
  }
  throw new Error("no server to ask");
}

/** What still differs after the time that a change takes to reach every server. */
async function lookAgain(
  context: CliContext,
  answered: readonly AskedServer[],
  apart: readonly AskedServer[],
  primary: { readonly server: string; readonly listing: DnsListing },
  filter: string | null,
): Promise<{ readonly listing: DnsListing; readonly differences: readonly Difference[] }> {
  await context.clock.sleep(SECOND_LOOK_MS, context.interrupted);
  const again = answered.filter((server) => server.name === primary.server || apart.includes(server));
  const listings = answersOf(await askAll(context, again, (client) => askListing(client, { filter })));
  // Servers that agreed with the first one still count as equal to it.
  const alike = answered.filter((server) => !again.includes(server));
  const listing = listings.get(primary.server) ?? primary.listing;
  const views = new Map([...listings].map(([server, { names }]) => [server, viewsOf(names)]));
  for (const { name } of alike) views.set(name, viewsOf(listing.names));
  return { listing, differences: diffNames(views, await natServers(answered, listings.values())) };
}

function viewsOf(names: DnsListing["names"]): ReadonlyMap<string, NameView> {
  return new Map(
    names.map(({ name, records }) => {
      const addresses = records.flatMap(({ address, answered }) => (answered && address !== null ? [address] : []));
      const leftOut = records.flatMap(({ address, answered, why }) =>
        answered || address === null ? [] : [{ address, why: why ?? "" }],
      );
      return [name, { isKnown: true, addresses, leftOut }];
    }),
  );
}

/** All names, to suggest one; empty when no server answers. */
async function knownNames(context: CliContext, servers: readonly AskedServer[]): Promise<readonly string[]> {
  const [outcome] = await askAll(context, servers.slice(0, 1), (client) => askListing(client, { filter: null }));
  if (outcome?.state !== "answered") return [];
  return outcome.value.names.map(({ name }) => name.slice(0, -SERVICE_DOMAIN.length - 1));
}

/** `myapp-api` and `myapp-api.jiji.` both mean `myapp-api.jiji`, or any name that holds it. */
export function normalizeFilter(text: string): string {
  const name = text.toLowerCase().replace(/\.$/, "");
  return name.endsWith(`.${SERVICE_DOMAIN}`) ? name.slice(0, -SERVICE_DOMAIN.length - 1) : name;
}
