/**
 * The content of the one file of that base name in a ustar archive (POSIX.1-1988; GNU's and pax' extra headers are passed
 * over); undefined when it is not there or the archive breaks off.
 */
export function readTarEntry(archive: Uint8Array, name: string): Uint8Array | undefined {
  const block = 512;
  for (let at = 0; at + block <= archive.length;) {
    const header = Buffer.from(archive.buffer, archive.byteOffset + at, block);
    const size = Number.parseInt(field(header, 124, 12), 8);
    const path = field(header, 0, 100);
    if (path === "" || !Number.isInteger(size) || size < 0) return undefined;
    const isFile = ["0", "\0", ""].includes(header.toString("latin1", 156, 157));
    const content = archive.subarray(at + block, at + block + size);
    if (isFile && (path === name || path.endsWith(`/${name}`))) return content.length === size ? content : undefined;
    at += block + Math.ceil(size / block) * block;
  }
  return undefined;
}

function field(header: Buffer, start: number, length: number): string {
  const text = header.toString("latin1", start, start + length);
  const end = text.indexOf("\0");
  return (end < 0 ? text : text.slice(0, end)).trim();
}
