import { StoreError } from "./store.ts";

const NEWLINE = 10;

/**
 * Cuts a stream of bytes into lines of UTF-8 text, without their newlines; a last line without a newline counts too.
 * However the bytes are cut into chunks, the lines are the same. Throws a {@link StoreError} when a line is longer than
 * `maxLineBytes`, so that a sender cannot fill the memory.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, maxLineBytes: number): AsyncGenerator<string> {
  // Parts of a line that is not complete; decoded together, since a chunk may end inside a character.
  let parts: Uint8Array[] = [];
  let partBytes = 0;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const take = (last: Uint8Array): string => {
    if (partBytes + last.length > maxLineBytes) throw tooLong(maxLineBytes);
    if (parts.length === 0) return decoder.decode(last);
    const whole = Buffer.concat([...parts, last]);
    parts = [];
    partBytes = 0;
    return decoder.decode(whole);
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield take(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    partBytes += chunk.length - start;
    if (partBytes > maxLineBytes) throw tooLong(maxLineBytes);
  }
  if (partBytes > 0) yield take(new Uint8Array());
}

function tooLong(maxLineBytes: number): StoreError {
  return new StoreError(`the store sent a line of more than ${maxLineBytes} bytes`);
}
