/**
 * Texts that rows share. Each is kept once under a small number, and forgotten when its last holder releases it: tens of
 * thousands of rows take little memory, and years of changes add none.
 */
export class TextPool {
  readonly #ids = new Map<string, number>();
  readonly #texts: (string | undefined)[] = [];
  readonly #holders: number[] = [];
  readonly #free: number[] = [];

  /** How many texts are held. */
  get size(): number {
    return this.#ids.size;
  }

  /** Holds a text once more and gives its number. `likely` is a guess at the number, for example the last row's. */
  hold(text: string, likely = 0): number {
    const known = this.#texts[likely] === text ? likely : this.#ids.get(text);
    if (known !== undefined) {
      this.#holders[known] = (this.#holders[known] ?? 0) + 1;
      return known;
    }
    const id = this.#free.pop() ?? this.#texts.length;
    this.#texts[id] = text;
    this.#holders[id] = 1;
    this.#ids.set(text, id);
    return id;
  }

  /** One holder fewer. */
  release(id: number): void {
    const left = (this.#holders[id] ?? 0) - 1;
    this.#holders[id] = left;
    const text = this.#texts[id];
    if (left > 0 || text === undefined) return;
    this.#ids.delete(text);
    this.#texts[id] = undefined;
    this.#free.push(id);
  }

  /** The number of a text that is held; undefined when nobody holds it. */
  find(text: string): number | undefined {
    return this.#ids.get(text);
  }

  text(id: number): string {
    return this.#texts[id] ?? "";
  }
}
