/** The line that every bootstrap script prints first. What a login shell says before it is no part of the answer. */
export const MARKER = "jiji:begin";

/** A server that says more than this before the marker never comes to it. */
const MOST_NOISE_LINES = 10_000;

/** The script never began: what came is the login shell's, or a forced command's. */
export class MarkerMissing extends Error {
  /** the last line that came instead; empty when none did */
  readonly said: string;

  constructor(said: string) {
    super("the answer does not begin with jiji's marker");
    this.name = "MarkerMissing";
    this.said = said;
  }
}

/** The lines behind the marker. Throws {@link MarkerMissing} when there is none. */
export async function* afterMarker(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let isAnswer = false;
  let noiseLines = 0;
  let said = "";
  for await (const line of lines) {
    if (isAnswer) yield line;
    else if (line === MARKER) isAnswer = true;
    else if (++noiseLines > MOST_NOISE_LINES) break;
    else said = line.trim() === "" ? said : line;
  }
  if (!isAnswer) throw new MarkerMissing(said);
}
