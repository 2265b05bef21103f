import { engineDnsKind } from "./kinds/engine-dns.ts";
import { engineNetworkKind } from "./kinds/engine-network.ts";
import { executableKind } from "./kinds/executable.ts";
import { fileKind } from "./kinds/file.ts";
import { firewallKind } from "./kinds/firewall.ts";
import { folderKind } from "./kinds/folder.ts";
import { identityKind } from "./kinds/identity.ts";
import type { AnyResourceKind } from "./kind.ts";
import { membersKind } from "./kinds/members.ts";
import { packageKind } from "./kinds/package.ts";
import { routeKind } from "./kinds/route.ts";
import { sysctlKind } from "./kinds/sysctl.ts";
import { tokenKind } from "./kinds/token.ts";
import { agentUnitKind, dnsUnitKind, retiredUnitKind, storeUnitKind } from "./kinds/unit.ts";
import { userKind } from "./kinds/user.ts";
import { wireguardKind } from "./kinds/wireguard.ts";
import type { Probes } from "./service-probes.ts";

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
