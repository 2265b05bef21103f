import { engineDnsKind } from "./engine-dns.ts";
import { engineNetworkKind } from "./engine-network.ts";
import { executableKind } from "./executable-kind.ts";
import { fileKind } from "./file-kind.ts";
import { firewallKind } from "./firewall.ts";
import { folderKind } from "./folder-kind.ts";
import { identityKind } from "./identity-kind.ts";
import type { AnyResourceKind } from "./kind.ts";
import { membersKind } from "./members-kind.ts";
import { packageKind } from "./package-kind.ts";
import type { Probes } from "./probes.ts";
import { routeKind } from "./route.ts";
import { sysctlKind } from "./sysctl.ts";
import { tokenKind } from "./token-kind.ts";
import { agentUnitKind, dnsUnitKind, retiredUnitKind, storeUnitKind } from "./unit-kind.ts";
import { userKind } from "./user-kind.ts";
import { wireguardKind } from "./wireguard.ts";

/**
 * Every kind of resource, in the order in which setup works; teardown goes through them backwards. The firewall stands
 * before the first interface that it guards, and falls after the last one; nothing starts before what it reads is there;
 * the engine is told of jiji-dns when that answers.
 */
export function resourceKinds(probes: Probes): readonly AnyResourceKind[] {
  return [
    packageKind,
    userKind,
    folderKind,
    identityKind,
    membersKind,
    tokenKind,
    retiredUnitKind,
    fileKind,
    executableKind,
    firewallKind,
    sysctlKind,
    engineNetworkKind,
    wireguardKind,
    routeKind,
    storeUnitKind(probes),
    agentUnitKind(probes),
    dnsUnitKind(probes),
    engineDnsKind,
  ];
}
