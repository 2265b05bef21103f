import type { Question } from "./question.ts";

/** The cluster's network as two numbers: its first address and its prefix length, 8 to 24. */
export interface ClusterRange {
  readonly first: number;
  readonly prefix: number;
}

/** Where a name under in-addr.arpa lies in the cluster's network. Filled again and again. */
export class ReversePlace {
  /** octets of an address that the name spells: 4 for one address, fewer for a network, 5 for what cannot be */
  octets = 0;
  /** octets that the zone's own name spells: 1 for a /8, 2 up to a /16, 3 beyond */
  apexOctets = 0;
  /** offset of the zone's name within the question's */
  apexAt = 0;
  /** with four octets: the address, counted from the cluster's first */
  distance = 0;
  /** offsets of the last four labels before in-addr.arpa, the most significant octet first */
  readonly labelAt = [0, 0, 0, 0];
}

/** `7in-addr4arpa0`, the end of every such name, as little-endian words. */
const SUFFIX_BYTES = 14;
const SUFFIX_FIRST = 0x2d6e6907;
const SUFFIX_SECOND = 0x72646461;
const SUFFIX_THIRD = 0x70726104;
const SUFFIX_END = 0x0061;

/**
 * Whether the (lower-cased) name of the question ends in the octets of in-addr.arpa. They may be within other labels: that
 * is for {@link placeOfReverse} to see.
 */
export function isReverseName(question: Question): boolean {
  const { name, nameBytes } = question;
  const at = nameBytes - SUFFIX_BYTES;
  return (
    at >= 0 &&
    name.getUint16(nameBytes - 2, true) === SUFFIX_END &&
    name.getInt32(at, true) === SUFFIX_FIRST &&
    name.getInt32(at + 4, true) === SUFFIX_SECOND &&
    name.getInt32(at + 8, true) === SUFFIX_THIRD
  );
}

/**
 * Whether a name that has passed {@link isReverseName} is the cluster's; if so, `place` says where. The cluster's zones are
 * the networks of whole octets that it consists of, so every name is either ours or wholly somebody else's.
 */
export function placeOfReverse(question: Question, cluster: ClusterRange, place: ReversePlace): boolean {
  const { name, nameBytes } = question;
  const labels = question.labels - 2;
  const apexOctets = cluster.prefix <= 8 ? 1 : cluster.prefix <= 16 ? 2 : 3;
  if (labels < apexOctets) return false;
  let at = 0;
  for (let label = 0; label < labels; label++) {
    const rank = labels - 1 - label;
    if (rank < 4) place.labelAt[rank] = at;
    at += name.getUint8(at) + 1;
  }
  // The last two labels have other octets before these.
  if (at !== nameBytes - SUFFIX_BYTES) return false;
  let address = 0;
  let octets = labels > 4 ? 5 : labels;
  for (let rank = 0; rank < labels && rank < 4; rank++) {
    const octet = readOctet(name, place.labelAt[rank] as number);
    if (octet >= 0) address += octet * 2 ** (8 * (3 - rank));
    else if (rank < apexOctets) return false;
    else octets = 5;
    if (rank !== apexOctets - 1) continue;
    if (address < cluster.first || address >= cluster.first + 2 ** (32 - cluster.prefix)) return false;
  }
  place.octets = octets;
  place.apexOctets = apexOctets;
  place.apexAt = place.labelAt[apexOctets - 1] as number;
  place.distance = address - cluster.first;
  return true;
}

/** The label at `at` as a number of 0 to 255 without leading zeros; -1 when it is none. */
function readOctet(name: DataView, at: number): number {
  const digits = name.getUint8(at);
  if (digits === 0 || digits > 3) return -1;
  let value = 0;
  for (let i = 1; i <= digits; i++) {
    const digit = name.getUint8(at + i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value <= 255 && (digits === 1 || name.getUint8(at + 1) !== 0x30) ? value : -1;
}
