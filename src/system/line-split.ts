/** The default limit: no line of jiji's own programs is as long. */
export const MAX_LINE_BYTES = 1024 * 1024;

/** A line was longer than the limit. */
export class LineTooLong extends Error {
  constructor(maxBytes: number = MAX_LINE_BYTES) {
    super(`a line of more than ${maxBytes / 1024 / 1024} MB came back`);
    this.name = "LineTooLong";
  }
}

/**
 * Splits a stream of bytes into lines of UTF-8 text (malformed bytes become U+FFFD), without their line ends. A last line
 * without an end counts when it is not empty. The lines do not depend on how the bytes arrive in chunks. Throws
 * {@link LineTooLong}, so that a sender cannot fill the memory.
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  maxLineBytes: number = MAX_LINE_BYTES,
): AsyncGenerator<string> {
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      if (restBytes + end - start > maxLineBytes) throw new LineTooLong(maxLineBytes);
      yield text([...rest, chunk.subarray(start, end)]);
      rest = [];
      restBytes = 0;
      start = end + 1;
    }
    rest.push(chunk.subarray(start));
    restBytes += chunk.length - start;
    if (restBytes > maxLineBytes) throw new LineTooLong(maxLineBytes);
  }
  if (restBytes > 0) yield text(rest);
}

/** Bytes are decoded together, since a chunk may end inside a character. */
function text(parts: readonly Uint8Array[]): string {
  const line = Buffer.concat(parts).toString("utf8");
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
