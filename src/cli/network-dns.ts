import type { ServerConfig } from "../config/deploy-config.ts";
import { JijiError } from "../model/errors.ts";
import type { DnsListing } from "../model/node-protocol.ts";
import { SERVICE_DOMAIN } from "../model/names.ts";
import { ConnectError, type Ssh } from "../system/connection.ts";
import type { CliContext } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { selectServers } from "./host-pattern.ts";
import { loadConfig, type ConfigChoice } from "./load-config.ts";
import { refuseDisabled } from "./network-setup.ts";
import { NodeClient } from "./node-client.ts";
import { asJijiError, type Colors, type Output } from "./output.ts";
import { renderTable } from "./table.ts";
import { openTrustedSsh } from "./trusted-ssh.ts";

export interface DnsOptions extends ConfigChoice {
  readonly hosts: readonly string[];
  readonly json: boolean;
  /** only names that equal or contain this */
  readonly name: string | undefined;
}

/** `jiji network dns`: every name, as the first server that answers knows it. */
export async function networkDns(context: CliContext, output: Output, options: DnsOptions): Promise<ExitCode> {
  const loaded = loadConfig(context, options);
  refuseDisabled(loaded);
  const servers = selectServers(loaded.config.servers, options.hosts);
  const ssh = await openTrustedSsh(context, loaded, options.trustConfig);
  try {
    const listing = await askAny(context, ssh, servers, options.name ?? null);
    if (options.json) output.json(listing);
    else output.data(renderListing(listing, output.colors));
    return EXIT.ok;
  } finally {
    await ssh.close();
  }
}

/**
 * The first answer that comes from any of the servers; all are asked at once, so that one that is away costs no time.
 * Throws with every server's reason when none answers.
 */
export async function askAny(
  context: CliContext,
  ssh: Ssh,
  servers: readonly ServerConfig[],
  filter: string | null,
): Promise<DnsListing> {
  const answered = new AbortController();
  const signal = AbortSignal.any([context.interrupted, answered.signal]);
  const asked = servers.map(async (config) => {
    const { name, host, user, port } = config;
    const connection = await ssh.connect({ name, host, user, port }, signal);
    return new NodeClient(connection, name, "installed", signal).dns({ filter });
  });
  try {
    const listing = await Promise.any(asked);
    answered.abort(new Error("another server has answered"));
    return listing;
  } catch (error) {
    context.interrupted.throwIfAborted();
    const reasons = error instanceof AggregateError ? (error.errors as unknown[]) : [error];
    const lines = reasons.map((reason, index) => `${servers[index]?.name ?? "?"}: ${reasonOf(reason)}`);
    throw new JijiError("connection", `no server could be asked\n  ${lines.join("\n  ")}`, {
      hint: "jiji network status shows what is wrong",
    });
  }
}

function reasonOf(reason: unknown): string {
  return reason instanceof ConnectError ? reason.message : asJijiError(reason).message;
}

function renderListing(listing: DnsListing, colors: Colors): string {
  const lines: string[] = [];
  const rows = listing.names.flatMap(({ name, records }) =>
    records.length === 0
      ? [[name, colors.yellow("no address"), "-", "-", "-", "-"]]
      : records.map((record) => [
          name,
          record.answered ? (record.address ?? "-") : colors.dim(record.address ?? "-"),
          record.server,
          record.containerId.slice(0, 12),
          record.answered
            ? record.state
            : colors.yellow(`${record.state}${record.why === undefined ? "" : `: ${record.why}`}`),
          record.answered ? `${listing.ttlSeconds} s` : "-",
        ]),
  );
  if (rows.length === 0) {
    lines.push(`no names yet: no container with a project and a service is on the network (asked ${listing.server})`);
  } else {
    lines.push(renderTable(["NAME", "ADDRESS", "SERVER", "CONTAINER", "STATE", "TTL"], rows));
  }
  if (listing.source === "saved") {
    lines.push(colors.yellow(`${listing.server} cannot read its store now: this is what it knew last`));
  }
  for (const { name, winner, loser } of listing.shadowed) {
    lines.push(colors.yellow(`${name} means ${winner}; ${loser} has the same name and is hidden by it`));
  }
  return lines.join("\n");
}

/** `myapp-api` and `myapp-api.jiji.` both mean `myapp-api.jiji`, or any name that holds it. */
export function normalizeFilter(text: string): string {
  const name = text.toLowerCase().replace(/\.$/, "");
  return name.endsWith(`.${SERVICE_DOMAIN}`) ? name.slice(0, -SERVICE_DOMAIN.length - 1) : name;
}
