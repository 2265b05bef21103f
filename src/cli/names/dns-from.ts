import { JijiError } from "../../model/errors.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import type { DnsListing } from "../../model/node/dns.ts";
import type { ResolvedName } from "../../model/node/resolve.ts";
import { answersOf, askAll, failuresOf, type AskedServer, type Outcome } from "../servers/asked-servers.ts";
import type { CliContext } from "../context.ts";
import { diffNames, type Difference, type NameView, type NatServers } from "./dns-differences.ts";
import { askListing, askResolve, type Resolution } from "../servers/dns-questions.ts";
import { natServers, SECOND_LOOK_MS, type DnsReport } from "./dns-report.ts";
import { renderAnswers } from "./dns-text.ts";
import type { Output } from "../output.ts";

/** After the first server's answers, the others get this long, and more for many names. */
const PATIENCE_MS = 3_000;
const PATIENCE_MS_PER_NAME = 1;

/**
 * Makes the server ask its own jiji-dns over the wire, for each name that contains `name` and for the name itself. All
 * others do the same, which shows where they disagree. Throws a JijiError when that server cannot ask.
 */
export async function answeredFrom(
  context: CliContext,
  output: Output,
  servers: readonly AskedServer[],
  from: string,
  name: string | undefined,
): Promise<DnsReport> {
  const listings = await listingsOf(context, servers, from, name ?? null);
  const own = answersOf(listings).get(from);
  const any = own ?? [...answersOf(listings).values()][0];
  const names = [...new Set([...exactName(name), ...(any?.names ?? []).map((each) => each.name)])].toSorted();
  const patienceMs = PATIENCE_MS + names.length * PATIENCE_MS_PER_NAME;
  const asked = await askAll(context, servers, (client) => askResolve(client, { names }), patienceMs);
  const resolution = resolutionOf(asked, from);
  if (resolution.answers.length > 0 && resolution.answers.every(({ rcode }) => rcode === null)) {
    throw new JijiError("remote", `its jiji-dns at ${resolution.endpoint} does not answer`, {
      server: from,
      hint: "systemctl status jiji-dns.socket jiji-dns on that server",
    });
  }
  const nat = await natServers(
    servers.filter((server) => answersOf(asked).has(server.name)),
    any === undefined ? [] : [any],
  );
  const differences = await lasting(context, servers, differencesOf(asked, nat), nat);
  return {
    json: { from, endpoint: resolution.endpoint, answers: resolution.answers, listing: own ?? null },
    text: () => renderAnswers({ from, ...resolution, listing: own }, output.colors),
    isFound: true,
    known: [],
    differences,
    unasked: failuresOf(asked).map(({ server, error }) => ({ server, why: error.message })),
  };
}

/** The listing of the server itself; when it fails, those of all servers. */
async function listingsOf(
  context: CliContext,
  servers: readonly AskedServer[],
  from: string,
  filter: string | null,
): Promise<readonly Outcome<DnsListing>[]> {
  const ask = (some: readonly AskedServer[]) => askAll(context, some, (client) => askListing(client, { filter }));
  const own = await ask(servers.filter((server) => server.name === from));
  return own.every((outcome) => outcome.state === "failed") ? [...own, ...(await ask(servers))] : own;
}

/** The given name itself is asked for even when no server publishes it: that answer is worth seeing, too. */
function exactName(name: string | undefined): readonly string[] {
  if (name === undefined) return [];
  const isName = name.length <= 240 && name.split(".").every((label) => /^[a-z0-9_-]{1,63}$/.test(label));
  return isName ? [`${name}.${SERVICE_DOMAIN}`] : [];
}

function resolutionOf(asked: readonly Outcome<Resolution>[], from: string): Resolution {
  const outcome = asked.find(({ server }) => server === from);
  if (outcome?.state === "answered") return outcome.value;
  const { kind, message, hint } = outcome?.error ?? new JijiError("connection", "it could not be asked");
  throw new JijiError(kind, message, { server: from, hint });
}

/** The names that still differ after the time that a change takes. */
async function lasting(
  context: CliContext,
  servers: readonly AskedServer[],
  differences: readonly Difference[],
  nat: NatServers,
): Promise<readonly Difference[]> {
  if (differences.length === 0) return [];
  await context.clock.sleep(SECOND_LOOK_MS, context.interrupted);
  const names = differences.map(({ name }) => name);
  return differencesOf(await askAll(context, servers, (client) => askResolve(client, { names })), nat);
}

function differencesOf(asked: readonly Outcome<Resolution>[], nat: NatServers): readonly Difference[] {
  const views = [...answersOf(asked)].map(([server, { answers }]) => {
    const byName = answers.map((answer): [string, NameView] => [answer.name, viewOf(answer)]);
    return [server, new Map(byName)] as const;
  });
  return diffNames(new Map(views), nat);
}

function viewOf({ rcode, addresses }: ResolvedName): NameView {
  return { isKnown: rcode === "NOERROR", addresses, leftOut: [] };
}
