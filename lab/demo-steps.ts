import { isatty } from "node:tty";
import { createColors } from "picocolors";

const colors = createColors(isatty(2) && (process.env["NO_COLOR"] ?? "") === "");

/** What a long program is doing, step by step, on standard error: each step's title, what it says, how long it took. */
export class Steps {
  readonly #startedMs = performance.now();
  readonly #done: { readonly title: string; readonly tookMs: number }[] = [];

  async run<T>(title: string, work: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    console.error(`\n${colors.cyan("▸")} ${colors.bold(title)}`);
    const value = await work();
    const tookMs = performance.now() - begin;
    this.#done.push({ title, tookMs });
    console.error(`  ${colors.green("✓")} ${colors.dim(seconds(tookMs))}`);
    return value;
  }

  /** One or more lines within a step. */
  show(text: string): void {
    for (const line of text.split("\n")) console.error(`  ${line}`);
  }

  /** A command that the reader could have typed. */
  showCommand(text: string): void {
    this.show(colors.bold(`$ ${text}`));
  }

  /** The last words: what each step took and the whole, under a line that says how it went. */
  summarize(verdict: string): void {
    const lines = [...this.#done, { title: "all of it", tookMs: performance.now() - this.#startedMs }];
    const width = Math.max(...lines.map(({ title }) => title.length));
    console.error(`\n${colors.green("✓")} ${colors.bold(verdict)}\n`);
    for (const { title, tookMs } of lines) console.error(`  ${title.padEnd(width)}  ${seconds(tookMs).padStart(7)}`);
  }
}

/** For people: "0.4 s". */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
