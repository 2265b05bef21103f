/** Numbers and names of the DNS wire format (RFC 1035, 2181, 2782, 3596, 6891). */

/** Resource record types and query types that this server knows by name. */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  ANY: 255,
} as const;

/** The Internet class; no other is answered. */
export const CLASS_IN = 1;

/** Response codes; BADVERS needs the upper bits that OPT carries. */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

/** Bits of the header's second 16-bit word. */
export const FLAG = {
  QR: 0x8000,
  OPCODE: 0x7800,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  AD: 0x0020,
  CD: 0x0010,
} as const;

/** A message's header (RFC 1035 §4.1.1). */
export const HEADER_BYTES = 12;

/** Longest name on the wire, length octets and root included (RFC 1035 §3.1). */
export const MAX_NAME_BYTES = 255;

/** Longest label (RFC 1035 §3.1). */
export const MAX_LABEL_BYTES = 63;

/** What a client without EDNS can take over UDP (RFC 1035 §4.2.1). */
export const PLAIN_UDP_BYTES = 512;

/** Largest UDP answer, and the size that OPT offers: passes every path without fragments. */
export const EDNS_UDP_BYTES = 1232;

/** Longest message over TCP (RFC 1035 §4.2.2). */
export const MAX_MESSAGE_BYTES = 65_535;

/** An OPT record without options (RFC 6891 §6.1.2). */
export const OPT_BYTES = 11;

/** A pointer to the question's name, which always stands at offset 12 (RFC 1035 §4.1.4). */
export const QUESTION_NAME_POINTER = 0xc00c;

/**
 * Wire form of a name written with dots, a final one allowed. Letters keep their case; `\.`, `\\` and `\DDD` stand for
 * any octet (RFC 1035 §5.1). Gives undefined for an empty label, a label over 63 or a name over 255 octets.
 */
export function encodeName(text: string): Uint8Array | undefined {
  if (text === "." || text === "") return Uint8Array.of(0);
  const bytes: number[] = [0];
  let lengthAt = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x2e) {
      if (!closeLabel(bytes, lengthAt)) return undefined;
      lengthAt = bytes.length;
      bytes.push(0);
    } else if (code === 0x5c) {
      const digits = /^[0-9]{3}/.exec(text.slice(at + 1))?.[0];
      const octet = digits === undefined ? text.charCodeAt(at + 1) : Number(digits);
      if (!(octet <= 255)) return undefined;
      bytes.push(octet);
      at += digits === undefined ? 1 : 3;
    } else if (code > 255) {
      return undefined;
    } else {
      bytes.push(code);
    }
  }
  if (bytes.length - 1 > lengthAt) {
    if (!closeLabel(bytes, lengthAt)) return undefined;
    bytes.push(0);
  }
  return bytes.length <= MAX_NAME_BYTES ? Uint8Array.from(bytes) : undefined;
}

function closeLabel(bytes: number[], lengthAt: number): boolean {
  const length = bytes.length - lengthAt - 1;
  bytes[lengthAt] = length;
  return length >= 1 && length <= MAX_LABEL_BYTES;
}

/** The inverse of {@link encodeName} for an uncompressed name; without the final dot, the root is `.`. */
export function formatName(name: Uint8Array): string {
  const labels: string[] = [];
  for (let at = 0; at < name.length;) {
    const length = name[at] ?? 0;
    if (length === 0) break;
    labels.push(Array.from(name.subarray(at + 1, at + 1 + length), formatOctet).join(""));
    at += length + 1;
  }
  return labels.length === 0 ? "." : labels.join(".");
}

function formatOctet(octet: number): string {
  if (octet === 0x2e || octet === 0x5c) return `\\${String.fromCharCode(octet)}`;
  if (octet > 0x20 && octet < 0x7f) return String.fromCharCode(octet);
  return `\\${String(octet).padStart(3, "0")}`;
}
