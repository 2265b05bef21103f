import type { Arch } from "../../model/architecture.ts";

/** e_machine of the ELF header, as the ELF specification numbers processors. */
const MACHINES: Readonly<Record<number, Arch>> = { 62: "x64", 183: "arm64" };

/** What a Linux executable's headers say. */
export interface ElfFacts {
  /** undefined for a processor that jiji does not serve */
  readonly arch: Arch | undefined;
  /** the newest glibc symbol version that it asks for, e.g. "2.34"; "0" when it asks for none */
  readonly glibc: string;
}

/** Reads a 64-bit little-endian ELF executable; undefined for any other content. */
export function parseElf(content: Uint8Array): ElfFacts | undefined {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  if (bytes.length < 64 || !bytes.subarray(0, 6).equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]))) return undefined;
  return { arch: MACHINES[bytes.readUInt16LE(18)], glibc: newestGlibc(bytes) };
}

/**
 * The names of needed symbol versions (`GLIBC_2.34`) stand as text in the table of dynamic strings. Searching the whole
 * content finds them without any knowledge of sections.
 */
function newestGlibc(bytes: Buffer): string {
  let newest = 0;
  const prefix = Buffer.from("GLIBC_2.");
  for (let at = bytes.indexOf(prefix); at >= 0; at = bytes.indexOf(prefix, at + prefix.length)) {
    const match = /^([0-9]{1,3})(?:\.[0-9]+)?\0/.exec(
      bytes.toString("latin1", at + prefix.length, at + prefix.length + 12),
    );
    if (match !== null) newest = Math.max(newest, Number(match[1]));
  }
  return newest === 0 ? "0" : `2.${newest}`;
}
