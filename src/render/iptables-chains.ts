import type { Ipv4 } from "../model/address.ts";
import type { EngineKind } from "../model/node-spec.ts";
import { BRIDGE, INTERFACE, PORTS } from "../model/ports.ts";

export const INPUT_CHAIN = "JIJI-INPUT";
export const FORWARD_CHAIN = "JIJI-FORWARD";

/** One of our own chains in the filter table of iptables, its rules exactly as iptables-save prints them. */
export interface IptablesChain {
  readonly name: typeof INPUT_CHAIN | typeof FORWARD_CHAIN;
  readonly rules: readonly string[];
}

/**
 * What dropping rules of others in INPUT must let through. jiji's nftables table has already filtered the packet, so these
 * rules accept every packet that is jiji's to filter.
 */
export function inputChain(family: 4 | 6, address: Ipv4): IptablesChain {
  const accept = (match: string): string => `-A ${INPUT_CHAIN} ${match} -j ACCEPT`;
  const tunnel = accept(`-p udp -m udp --dport ${PORTS.wireguard}`);
  if (family === 6) return { name: INPUT_CHAIN, rules: [tunnel] };
  return {
    name: INPUT_CHAIN,
    rules: [
      tunnel,
      accept(`-i ${INTERFACE}`),
      accept(`-d ${address}/32 -p udp -m udp --dport ${PORTS.dns}`),
      accept(`-d ${address}/32 -p tcp -m tcp --dport ${PORTS.dns}`),
      accept(`-d ${address}/32 -p tcp -m tcp --dport ${PORTS.metrics}`),
      accept(`-d ${address}/32 -p icmp`),
    ],
  };
}

/**
 * What dropping rules of others in FORWARD must let through: the tunnel and the containers. Docker itself lets its networks
 * reach the internet. Podman's bridge needs rules for that beside Docker's DROP policy; they leave out Docker's networks.
 */
export function forwardChain(engine: EngineKind): IptablesChain {
  const rules = [`-i ${INTERFACE} -o ${BRIDGE} -j ACCEPT`, `-i ${BRIDGE} -o ${INTERFACE} -j ACCEPT`];
  if (engine === "podman") {
    rules.push(
      `-i ${BRIDGE} -o docker+ -j RETURN`,
      `-i ${BRIDGE} -o br-+ -j RETURN`,
      `-i ${BRIDGE} -j ACCEPT`,
      `-o ${BRIDGE} -j ACCEPT`,
    );
  }
  return { name: FORWARD_CHAIN, rules: rules.map((rule) => `-A ${FORWARD_CHAIN} ${rule}`) };
}

/** Input of `iptables-restore --noflush`: makes each chain, or replaces what is in it; touches no other chain. */
export function renderIptablesChains(chains: readonly IptablesChain[]): string {
  return [
    "# Written by jiji; changes are lost.",
    "*filter",
    ...chains.map((chain) => `:${chain.name} - [0:0]`),
    ...chains.flatMap((chain) => chain.rules),
    "COMMIT",
    "",
  ].join("\n");
}
