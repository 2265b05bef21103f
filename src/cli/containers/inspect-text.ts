import type { Fact, Inspection, ServerView, View } from "./inspection.ts";
import type { Colors } from "../output.ts";
import { DIFFERS, renderTable } from "../table.ts";

/** The comparison as text for people. Texts from servers are already escaped. */
export function renderInspection(inspection: Inspection, colors: Colors): string {
  const { container, engineKind, facts, names, servers, remarks } = inspection;
  const owner = container.server ?? `${container.serverId}, which is no member`;
  const on = (server: string | null): string => (server === null || server === container.server ? "" : ` on ${server}`);
  const parts = [
    `${colors.bold(container.name)} ${container.containerId.slice(0, 12)} on ${owner}`,
    renderTable(
      [
        "",
        `ENGINE${engineKind === null ? "" : ` (${engineKind})`}`,
        `STORE${on(inspection.storeOn)}`,
        `JIJI-DNS${on(inspection.dnsOn)}`,
        "",
      ],
      facts.map((fact) => factRow(fact, colors)),
    ),
  ];
  if (names.length > 0) {
    parts.push(
      names
        .map(({ name, isHeld, why }) =>
          isHeld ? `${name} leads to it` : colors.yellow(`${name} does not lead to it: ${why ?? ""}`),
        )
        .join("\n"),
    );
  }
  parts.push(
    renderTable(
      ["ON", "STORE", "JIJI-DNS"],
      servers.map((server) => serverRow(server, colors)),
    ),
  );
  if (remarks.length > 0) parts.push(remarks.map((remark) => colors.yellow(remark)).join("\n"));
  return parts.join("\n\n");
}

function factRow({ what, engine, store, dns, differs }: Fact, colors: Colors): string[] {
  const cells = [engine, store, dns].map((text) => text ?? "");
  return [what, ...cells.map((text) => (differs ? colors.red(text) : text)), differs ? colors.red(DIFFERS) : ""];
}

function serverRow({ server, isOwner, store, dns }: ServerView, colors: Colors): string[] {
  return [isOwner ? `${server} (its server)` : server, viewCell(store, colors), viewCell(dns, colors)];
}

function viewCell({ text, differs }: View, colors: Colors): string {
  return differs ? colors.red(`${text} ${DIFFERS}`) : text;
}
