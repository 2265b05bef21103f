import type { SubnetNumber } from "./cluster.ts";
import type { IdentityPublicKey, ServerId } from "./keys.ts";
import type { DnsLabel } from "./names.ts";

/** The public half of /opt/jiji/identity.json: made once, under the lock, and never derived from a count or an order. */
export interface Identity {
  readonly id: ServerId;
  readonly idKey: IdentityPublicKey;
  readonly name: DnsLabel;
  readonly subnet: SubnetNumber;
}
