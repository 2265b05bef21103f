/** Lines longer than this are cut off: nothing that jiji's own programs say is as long. */
export const MAX_LINE_BYTES = 1024 * 1024;

/** A line went on beyond {@link MAX_LINE_BYTES}. */
export class LineTooLong extends Error {
  constructor() {
    super("a line of more than 1 MB came back");
    this.name = "LineTooLong";
  }
}

/**
 * Cuts a stream of bytes into lines of UTF-8 text (malformed bytes become U+FFFD), without their ends; what follows the
 * last line end counts as a line when it is not empty. Throws {@link LineTooLong}.
 */
export async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      if (restBytes + end - start > MAX_LINE_BYTES) throw new LineTooLong();
      yield text([...rest, chunk.subarray(start, end)]);
      rest = [];
      restBytes = 0;
      start = end + 1;
    }
    rest.push(chunk.subarray(start));
    restBytes += chunk.length - start;
    if (restBytes > MAX_LINE_BYTES) throw new LineTooLong();
  }
  if (restBytes > 0) yield text(rest);
}

function text(parts: readonly Uint8Array[]): string {
  const line = Buffer.concat(parts).toString("utf8");
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
