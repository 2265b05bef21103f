import { Buckets, grown, Numbering } from "./columns.ts";
import { NO_TEXT, type ContainerRows } from "./container-rows.ts";

/** No row, no claim. */
export const NONE = -1;

const MAX_LABEL_CHARS = 63;

/**
 * The labels that rows publish, and what each of them means. A *claim* is one meaning: all containers of a service, or
 * of one instance of it. Hyphens are legal inside the parts, so one label can have several claims; they are never
 * merged: a service wins over an instance, and between equals the parts that sort first.
 *
 * Claims are numbers; a row belongs to its service's claim and, if it has an instance, to that one's.
 */
export class NameClaims {
  readonly #rows: ContainerRows;
  readonly #numbers = new Numbering();
  readonly #byParts = new Buckets();
  readonly #byLabel = new Buckets();
  #project = new Int32Array(64);
  #service = new Int32Array(64);
  #instance = new Int32Array(64);
  #firstRow = new Int32Array(64);
  #rowCount = new Int32Array(64);
  /** rows of one claim, chained: a chain for services, one for instances */
  #nextOfService = new Int32Array(64);
  #nextOfInstance = new Int32Array(64);
  /** how many different labels there are */
  labelCount = 0;
  /** how many claims there are; more than labels where a label has several */
  claimCount = 0;

  constructor(rows: ContainerRows) {
    this.#rows = rows;
  }

  /** All claims' numbers are below this. */
  get end(): number {
    return this.#numbers.end;
  }

  /** All claims that win their label. The set may change during the walk; new claims may be left out. */
  *winners(): IterableIterator<number> {
    for (let claim = 0; claim < this.#numbers.end; claim++) {
      if (this.rowCount(claim) > 0 && this.isWinner(claim)) yield claim;
    }
  }

  /** The label of a claim. */
  label(claim: number): string {
    const { texts } = this.#rows;
    const service = `${texts.text(this.#project[claim] ?? 0)}-${texts.text(this.#service[claim] ?? 0)}`;
    return this.isService(claim) ? service : `${service}-${texts.text(this.#instance[claim] ?? 0)}`;
  }

  isService(claim: number): boolean {
    return this.#instance[claim] === NO_TEXT;
  }

  /** The words that the label is made of. */
  parts(claim: number): { readonly project: string; readonly service: string; readonly instance: string | null } {
    const { texts } = this.#rows;
    return {
      project: texts.text(this.#project[claim] ?? 0),
      service: texts.text(this.#service[claim] ?? 0),
      instance: this.isService(claim) ? null : texts.text(this.#instance[claim] ?? 0),
    };
  }

  /** 0: the claim is gone, its number may be given to another one. */
  rowCount(claim: number): number {
    return this.#rowCount[claim] ?? 0;
  }

  /** The claim's first row, for {@link nextRow}; {@link NONE} after the last. */
  firstRow(claim: number): number {
    return this.#firstRow[claim] ?? NONE;
  }

  nextRow(claim: number, row: number): number {
    return (this.isService(claim) ? this.#nextOfService[row] : this.#nextOfInstance[row]) ?? NONE;
  }

  /** The claims of a label, the winner first; empty when nobody publishes it. */
  of(label: string): readonly number[] {
    const hash = hashText(label);
    const claims: number[] = [];
    for (let claim = this.#byLabel.first(hash); claim >= 0; claim = this.#byLabel.after(claim)) {
      if (this.#byLabel.hashOf(claim) === hash && this.label(claim) === label) claims.push(claim);
    }
    return claims.length > 1 ? claims.sort((a, b) => this.#compare(a, b)) : claims;
  }

  /** The claim that the label is answered from, or {@link NONE}. */
  winner(label: string): number {
    return this.of(label)[0] ?? NONE;
  }

  isWinner(claim: number): boolean {
    const hash = this.#byLabel.hashOf(claim);
    let label: string | undefined;
    for (let other = this.#byLabel.first(hash); other >= 0; other = this.#byLabel.after(other)) {
      if (other === claim || this.#byLabel.hashOf(other) !== hash) continue;
      label ??= this.label(claim);
      if (this.label(other) === label && this.#compare(other, claim) < 0) return false;
    }
    return true;
  }

  /** The claims that the row belongs to: its service's, its instance's; {@link NONE} where it publishes no such label. */
  serviceClaim(row: number): number {
    return this.#find(this.#rows.project(row), this.#rows.service(row), NO_TEXT);
  }

  instanceClaim(row: number): number {
    const instance = this.#rows.instance(row);
    return instance === NO_TEXT ? NONE : this.#find(this.#rows.project(row), this.#rows.service(row), instance);
  }

  /** Adds the row to the claims of its labels, as far as these are short enough. */
  add(row: number): void {
    if (row >= this.#nextOfService.length) {
      this.#nextOfService = grown(this.#nextOfService, Math.max(row + 1, this.#nextOfService.length * 2));
      this.#nextOfInstance = grown(this.#nextOfInstance, this.#nextOfService.length);
    }
    const { texts } = this.#rows;
    const length = texts.text(this.#rows.project(row)).length + 1 + texts.text(this.#rows.service(row)).length;
    if (length <= MAX_LABEL_CHARS) this.#join(row, NO_TEXT, this.#nextOfService);
    const instance = this.#rows.instance(row);
    if (instance === NO_TEXT || length + 1 + texts.text(instance).length > MAX_LABEL_CHARS) return;
    this.#join(row, instance, this.#nextOfInstance);
  }

  /** Removes the row from its claims. */
  remove(row: number): void {
    this.#leave(row, this.serviceClaim(row), this.#nextOfService);
    this.#leave(row, this.instanceClaim(row), this.#nextOfInstance);
  }

  #find(project: number, service: number, instance: number): number {
    const hash = hashParts(project, service, instance);
    for (let claim = this.#byParts.first(hash); claim >= 0; claim = this.#byParts.after(claim)) {
      const isThis =
        this.#project[claim] === project && this.#service[claim] === service && this.#instance[claim] === instance;
      if (isThis) return claim;
    }
    return NONE;
  }

  #join(row: number, instance: number, next: Int32Array): void {
    const project = this.#rows.project(row);
    const service = this.#rows.service(row);
    let claim = this.#find(project, service, instance);
    if (claim === NONE) claim = this.#make(project, service, instance);
    next[row] = this.firstRow(claim);
    this.#firstRow[claim] = row;
    this.#rowCount[claim] = this.rowCount(claim) + 1;
  }

  #leave(row: number, claim: number, next: Int32Array): void {
    if (claim === NONE) return;
    let before = NONE;
    for (let at = this.firstRow(claim); at !== row; at = next[at] ?? NONE) {
      if (at === NONE) return;
      before = at;
    }
    if (before === NONE) this.#firstRow[claim] = next[row] ?? NONE;
    else next[before] = next[row] ?? NONE;
    this.#rowCount[claim] = this.rowCount(claim) - 1;
    if (this.rowCount(claim) === 0) this.#forget(claim);
  }

  #make(project: number, service: number, instance: number): number {
    const claim = this.#numbers.take();
    if (claim >= this.#project.length) this.#grow();
    const { texts } = this.#rows;
    this.#project[claim] = project;
    this.#service[claim] = service;
    this.#instance[claim] = instance;
    this.#firstRow[claim] = NONE;
    this.#rowCount[claim] = 0;
    // A row releases its texts when it is removed, and the last row of a claim may go before the claim does.
    for (const text of [project, service, instance]) if (text !== NO_TEXT) texts.hold(texts.text(text));
    const hash = this.#labelHash(claim);
    this.claimCount++;
    if (!this.#hasLabelOf(claim, hash)) this.labelCount++;
    this.#byParts.add(claim, hashParts(project, service, instance));
    this.#byLabel.add(claim, hash);
    return claim;
  }

  #forget(claim: number): void {
    const { texts } = this.#rows;
    const hash = this.#byLabel.hashOf(claim);
    this.#byParts.remove(claim);
    this.#byLabel.remove(claim);
    this.claimCount--;
    if (!this.#hasLabelOf(claim, hash)) this.labelCount--;
    for (const text of [this.#project[claim], this.#service[claim], this.#instance[claim]]) {
      if (text !== undefined && text !== NO_TEXT) texts.release(text);
    }
    this.#numbers.giveBack(claim);
  }

  /** Whether another claim has this one's label, whose hash is given. */
  #hasLabelOf(claim: number, hash: number): boolean {
    let label: string | undefined;
    for (let other = this.#byLabel.first(hash); other >= 0; other = this.#byLabel.after(other)) {
      if (other === claim || this.#byLabel.hashOf(other) !== hash) continue;
      label ??= this.label(claim);
      if (this.label(other) === label) return true;
    }
    return false;
  }

  /** The same as {@link hashText} of the label, without building the text: there are tens of thousands. */
  #labelHash(claim: number): number {
    const { texts } = this.#rows;
    let hash = mixText(TEXT_SEED, texts.text(this.#project[claim] ?? 0));
    hash = mixText(mixText(hash, "-"), texts.text(this.#service[claim] ?? 0));
    if (!this.isService(claim)) hash = mixText(mixText(hash, "-"), texts.text(this.#instance[claim] ?? 0));
    return hash ^ (hash >>> 15);
  }

  #compare(a: number, b: number): number {
    if (this.isService(a) !== this.isService(b)) return this.isService(a) ? -1 : 1;
    const x = this.parts(a);
    const y = this.parts(b);
    return (
      compareText(x.project, y.project) ||
      compareText(x.service, y.service) ||
      compareText(x.instance ?? "", y.instance ?? "")
    );
  }

  #grow(): void {
    const length = this.#project.length * 2;
    this.#project = grown(this.#project, length);
    this.#service = grown(this.#service, length);
    this.#instance = grown(this.#instance, length);
    this.#firstRow = grown(this.#firstRow, length);
    this.#rowCount = grown(this.#rowCount, length);
  }
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function hashParts(project: number, service: number, instance: number): number {
  const hash = Math.imul(project ^ Math.imul(service, 0x9e3779b1), 0x85ebca6b);
  const mixed = Math.imul(hash ^ (hash >>> 13) ^ instance, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** FNV-1a's first value and its factor, for 32 bits. */
const TEXT_SEED = 0x811c9dc5 | 0;
const TEXT_FACTOR = 0x01000193;

function hashText(text: string): number {
  const hash = mixText(TEXT_SEED, text);
  return hash ^ (hash >>> 15);
}

function mixText(from: number, text: string): number {
  let hash = from;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), TEXT_FACTOR);
  return hash;
}
