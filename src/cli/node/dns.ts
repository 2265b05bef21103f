import { askNames } from "../../dns/control-client.ts";
import type { NamesAnswer } from "../../dns/control-protocol.ts";
import { JijiError } from "../../model/errors.ts";
import type { DnsListing } from "../../model/node-protocol.ts";
import { PATHS } from "../../model/paths.ts";
import type { Out } from "./out.ts";
import { reportFailure } from "./out.ts";
import { dnsListRequestSchema, parseRequest } from "./requests.ts";

/** How jiji-dns is asked; tests give another. */
export type AskNames = (filter: string | null) => Promise<NamesAnswer>;

const askRunning: AskNames = (filter) => askNames(PATHS.dnsControlSocket, filter);

/** `jiji node dns`: what this server's running jiji-dns publishes, one {@link DnsListing} line. Exit 0, else 1. */
export async function runNodeDns(input: string, out: Out, ask: AskNames = askRunning): Promise<number> {
  try {
    const { filter } = parseRequest(dnsListRequestSchema, input);
    out(listingOf(await ask(filter)));
    return 0;
  } catch (error) {
    return reportFailure(error, out);
  }
}

/** Throws a {@link JijiError} when jiji-dns has no table yet: that is no empty list. */
function listingOf(answer: NamesAnswer): DnsListing {
  if (answer.source === "none") {
    throw new JijiError("remote", "jiji-dns has not read the store yet", {
      hint: "systemctl status jiji-dns jiji-agent jiji-corrosion",
    });
  }
  return {
    server: answer.server ?? "",
    ttlSeconds: answer.ttlSeconds,
    source: answer.source,
    names: answer.names.map(({ name, kind, records }) => ({
      name,
      kind,
      records: records.map(({ address, server, containerId, state, answered, why }) => ({
        address,
        server,
        containerId,
        state,
        answered,
        ...(why === undefined ? {} : { why }),
      })),
    })),
    shadowed: answer.names.flatMap(({ name, project, service, shadowed }) =>
      shadowed.map((loser) => ({ name, winner: `${project} / ${service}`, loser })),
    ),
  };
}
