import type { TraceAnswer } from "../../dns/operation/control-protocol.ts";
import type { Trace, TracedRow } from "../../model/dns-trace.ts";
import { formatAge } from "../duration.ts";
import type { Colors } from "../output.ts";
import { renderTable } from "../table.ts";

/** A trace for people: what the name means, the rows that were looked at, the answer. Its texts are escaped already. */
export function renderTrace({ view, trace, resolvers }: TraceAnswer, colors: Colors): string {
  const parts = [`${colors.bold(trace.name)}: ${trace.means}`, ...viewLines(view, colors)];
  if (trace.rows.length > 0) parts.push("", rowTable(trace.rows, colors));
  const shadows = trace.shadowed.map(({ means, why }) =>
    colors.yellow(`${means} is spelled like it and hidden: ${why}`),
  );
  return [...parts, ...(shadows.length > 0 ? ["", ...shadows] : []), "", ...answerLines(trace, resolvers)].join("\n");
}

function viewLines({ server, source, store, agent }: TraceAnswer["view"], colors: Colors): string[] {
  const who = server === null ? "a jiji-dns whose server is not known" : `${server}'s jiji-dns`;
  if (source === "none") return [colors.yellow(`${who} has not read the store yet (${store.why})`)];
  const age =
    store.ageSeconds === null ? "never in step since its start" : `last in step ${formatAge(store.ageSeconds)} ago`;
  const lines = [
    store.connected
      ? `as ${who} knows it, in step with its store`
      : colors.yellow(`as ${who} knew it: its store is away (${store.why}; ${age})`),
  ];
  if (agent?.silent === true) lines.push(colors.yellow("its agent is silent: every server counts as reachable"));
  return lines;
}

function rowTable(rows: readonly TracedRow[], colors: Colors): string {
  return renderTable(
    ["SERVER", "ROW", "CONTAINER", "ADDRESS", "STATE", "REV", "FROM", "ANSWERED"],
    rows.map((row) => [
      row.server,
      String(row.n),
      row.containerId.slice(0, 12),
      row.address ?? "-",
      row.state,
      String(row.rev),
      row.source,
      row.isAnswered ? colors.green("yes") : colors.yellow(`no: ${row.why ?? ""}`),
    ]),
  );
}

function answerLines({ kind, answer }: Trace, resolvers: readonly string[]): string[] {
  if (answer.rcode === null) {
    return [
      `answer: whatever ${resolvers.length === 0 ? "the server's resolvers say" : `${resolvers.join(" or ")} says`}`,
    ];
  }
  const ttl = answer.ttlSeconds === null ? "" : `, may be kept for ${answer.ttlSeconds} s`;
  if (kind === "apex") return [`answer: ${answer.rcode}: SOA and NS, no address${ttl}`];
  if (answer.records.length === 0) {
    const what =
      answer.rcode === "NOERROR" ? ": no record, SOA" : answer.rcode === "NXDOMAIN" ? ": no such name, SOA" : "";
    return [`answer: ${answer.rcode}${what}${ttl}`];
  }
  return [`answer: ${answer.rcode}${ttl}`, ...answer.records.map(({ type, data }) => `  ${type} ${data}`)];
}
