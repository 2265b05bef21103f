import type { ServerResponse } from "node:http";

/** As much as goes out in one write. */
const MAX_WRITE_CHARACTERS = 64 * 1024;
/** A reader that takes nothing is let go this long after its stream has ended. */
const LINGER_MS = 10_000;

/**
 * The body of one NDJSON answer. First the lines of `source` go out, at the reader's pace and made only when they are
 * needed; then lines that are pushed. A reader that falls more than `maxPending` pushed lines behind is cut off without
 * a word, as Corrosion does.
 */
export class LineStream {
  readonly #response: ServerResponse;
  readonly #source: Iterator<string>;
  readonly #maxPending: number;
  readonly #isHeld: () => boolean;
  #pending: string[] = [];
  #sourceDone = false;
  #endWhenSent = false;
  #blocked = false;
  #over = false;
  #pumpScheduled = false;
  #linger: NodeJS.Timeout | undefined;

  /** `isHeld` holds everything back while it says true; call {@link pump} afterwards. */
  constructor(
    response: ServerResponse,
    options: { source?: Iterator<string>; maxPending?: number; isHeld?: () => boolean; onClose?: () => void } = {},
  ) {
    this.#response = response;
    this.#source = options.source ?? [][Symbol.iterator]();
    this.#maxPending = options.maxPending ?? Number.POSITIVE_INFINITY;
    this.#isHeld = options.isHeld ?? (() => false);
    response.on("drain", () => {
      this.#blocked = false;
      this.pump();
    });
    response.on("error", () => {});
    response.once("close", () => {
      this.#over = true;
      clearTimeout(this.#linger);
      this.#pending = [];
      this.#source.return?.();
      options.onClose?.();
    });
  }

  /** Sends one line (without its newline) after all before it. */
  push(line: string): void {
    if (this.#over) return;
    this.#pending.push(line);
    if (this.#pending.length > this.#maxPending) {
      this.endNow();
      return;
    }
    if (this.#pumpScheduled) return;
    // Lines that are pushed together leave together.
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.pump();
    });
  }

  /** Ends the stream when everything has been sent. */
  end(): void {
    this.#endWhenSent = true;
    this.pump();
  }

  /** Ends the stream at once; what is pending is dropped. */
  endNow(lastLine?: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#pending = [];
    this.#response.end(lastLine === undefined ? undefined : `${lastLine}\n`);
    const { socket } = this.#response;
    this.#linger = setTimeout(() => socket?.destroy(), LINGER_MS);
    this.#linger.unref();
  }

  /** Writes until the reader must catch up. */
  pump(): void {
    while (!this.#over && !this.#blocked && !this.#isHeld()) {
      const text = this.#nextWrite();
      if (text === "") {
        if (this.#endWhenSent && this.#sourceDone) this.endNow();
        return;
      }
      this.#blocked = !this.#response.write(text);
    }
  }

  #nextWrite(): string {
    let text = "";
    while (!this.#sourceDone && text.length < MAX_WRITE_CHARACTERS) {
      const next = this.#source.next();
      if (next.done === true) this.#sourceDone = true;
      else text += `${next.value}\n`;
    }
    if (!this.#sourceDone || this.#pending.length === 0) return text;
    text += `${this.#pending.join("\n")}\n`;
    this.#pending = [];
    return text;
  }
}
