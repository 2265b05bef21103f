import { serverAddress } from "../model/cluster.ts";
import { encodeNodeSpecFile } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import type { Secret } from "../model/secret.ts";
import { UNITS, unitFile } from "../model/units.ts";
import { renderAgentSettings } from "../render/agent-settings.ts";
import { renderAgentUnit } from "../render/agent-unit.ts";
import { renderCorrosionConfig, withoutBootstrap } from "../render/corrosion-config.ts";
import { renderDnsSocket, renderDnsUnit } from "../render/dns-units.ts";
import { renderDnsSettings } from "../render/dns-settings.ts";
import { renderRepairUnit } from "../render/repair-unit.ts";
import { renderCorrosionUnit, renderStoreUnit } from "../render/store-units.ts";
import { renderTmpfiles } from "../render/system-files.ts";
import { renderTunnelUnit } from "../render/tunnel-unit.ts";
import { SCHEMA } from "../store/schema.ts";
import type { JoinGoal } from "./goal.ts";
import type { DesiredFile } from "./managed-file.ts";

/** What some files hold and only the server knows. */
export interface FileInputs {
  /** undefined: a step of this run makes it */
  readonly corrosionToken: Secret | undefined;
}

/** Every file that a member gets and that no other kind of resource owns, spec.json first: repair goes by it. */
export function desiredFiles(goal: JoinGoal, inputs: FileInputs): readonly DesiredFile[] {
  const { spec } = goal;
  const address = serverAddress(spec.cluster.cidr, spec.subnet);
  const isHolder = spec.store.kind === "embedded" && spec.store.holder === spec.subnet;
  return [
    { path: PATHS.spec, content: encodeNodeSpecFile(spec), mode: 0o644, restarts: [UNITS.agent] },
    { path: PATHS.tmpfiles, content: renderTmpfiles(), mode: 0o644 },
    { path: PATHS.dnsSettings, content: renderDnsSettings(spec), mode: 0o644, restarts: [UNITS.dns] },
    { path: PATHS.agentSettings, content: renderAgentSettings(spec), mode: 0o644, restarts: [UNITS.agent] },
    ...(spec.store.kind === "corrosion" ? corrosionFiles(goal, inputs) : []),
    ...(isHolder ? [unit(UNITS.store, renderStoreUnit(address))] : []),
    // never restarted: the tunnel stays up whatever changes
    { path: unitFile(UNITS.tunnel), content: renderTunnelUnit(), mode: 0o644 },
    unit(UNITS.agent, renderAgentUnit()),
    unit(UNITS.dnsSocket, renderDnsSocket(address)),
    unit(UNITS.dns, renderDnsUnit()),
    { path: unitFile(UNITS.repair), content: renderRepairUnit(), mode: 0o644 },
  ];
}

function unit(name: string, content: string): DesiredFile {
  return { path: unitFile(name), content, mode: 0o644, restarts: [name] };
}

function corrosionFiles({ spec, members }: JoinGoal, { corrosionToken }: FileInputs): readonly DesiredFile[] {
  const { cidr, mtuBytes } = spec.cluster;
  const peers = members.filter(({ subnet }) => subnet !== spec.subnet).map(({ subnet }) => serverAddress(cidr, subnet));
  const config =
    corrosionToken === undefined
      ? null
      : renderCorrosionConfig({ address: serverAddress(cidr, spec.subnet), peers, mtuBytes, token: corrosionToken });
  return [
    { path: PATHS.corrosionSchema, content: SCHEMA, mode: 0o644, restarts: [UNITS.corrosion] },
    {
      path: PATHS.corrosionConfig,
      content: config,
      mode: 0o640,
      group: "jiji-corrosion",
      isSecret: true,
      restarts: [UNITS.corrosion],
      essence: withoutBootstrap,
    },
    unit(UNITS.corrosion, renderCorrosionUnit()),
  ];
}
