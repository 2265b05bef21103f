import type { Brand } from "./brand.ts";

/** A DNS label of letters, digits and inner hyphens, 1 to 63 long, lower case (RFC 1035 §2.3.1, RFC 1123 §2.1). */
export type DnsLabel = Brand<string, "DnsLabel">;

/** The domain of all services. It cannot be changed. */
export const SERVICE_DOMAIN = "jiji" as DnsLabel;

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Reads a label as it stands (lower case); undefined for anything else. */
export function parseDnsLabel(text: string): DnsLabel | undefined {
  return LABEL.test(text) ? (text as DnsLabel) : undefined;
}

/** Lower-cases, turns `_` and `.` into `-`, then reads a label: how names given by people and Compose become labels. */
export function normalizeToLabel(text: string): DnsLabel | undefined {
  return parseDnsLabel(text.toLowerCase().replaceAll(/[_.]/g, "-"));
}

/**
 * The label that leads to all containers of a service: `{project}-{service}`; undefined when it is longer than 63.
 */
export function serviceLabel(project: DnsLabel, service: DnsLabel): DnsLabel | undefined {
  return parseDnsLabel(`${project}-${service}`);
}

/** The label that leads to one instance: `{project}-{service}-{instance}`; undefined when it is longer than 63. */
export function instanceLabel(project: DnsLabel, service: DnsLabel, instance: DnsLabel): DnsLabel | undefined {
  return parseDnsLabel(`${project}-${service}-${instance}`);
}
