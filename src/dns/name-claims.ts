import type { ContainerRow } from "./container-row.ts";

/**
 * One meaning of a label: all containers of a service, or of one instance of it. Hyphens are legal inside the parts, so
 * one label can have several meanings; they are never merged.
 */
export interface Claim {
  readonly project: string;
  readonly service: string;
  /** undefined: the service's name */
  readonly instance: string | undefined;
  readonly rows: ContainerRow[];
}

/** Claims of one label, the one that wins first; a lone claim stands for itself. */
type Claims = Claim | Claim[];

/** Which of two claims of one label wins: a service before an instance, then the parts that sort first. */
export function compareClaims(a: Claim, b: Claim): number {
  const isServiceA = a.instance === undefined;
  if (isServiceA !== (b.instance === undefined)) return isServiceA ? -1 : 1;
  return (
    compareText(a.project, b.project) ||
    compareText(a.service, b.service) ||
    compareText(a.instance ?? "", b.instance ?? "")
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The labels that rows publish, and what each of them means. */
export class NameClaims {
  readonly #labels = new Map<string, Claims>();

  get size(): number {
    return this.#labels.size;
  }

  labels(): IterableIterator<string> {
    return this.#labels.keys();
  }

  /** The claims of a label, the winner first; empty when nobody publishes it. */
  of(label: string): readonly Claim[] {
    const claims = this.#labels.get(label);
    return claims === undefined ? [] : Array.isArray(claims) ? claims : [claims];
  }

  /** The claim that the label is answered from. */
  winner(label: string): Claim | undefined {
    const claims = this.#labels.get(label);
    return Array.isArray(claims) ? claims[0] : claims;
  }

  add(label: string, row: ContainerRow, instance: string | undefined): void {
    const claim = this.#claim(label, row, instance);
    if (claim !== undefined) {
      claim.rows.push(row);
      return;
    }
    const added: Claim = { project: row.project, service: row.service, instance, rows: [row] };
    const claims = this.of(label);
    this.#labels.set(label, claims.length === 0 ? added : [...claims, added].sort(compareClaims));
  }

  remove(label: string, row: ContainerRow, instance: string | undefined): void {
    const claim = this.#claim(label, row, instance);
    const index = claim?.rows.indexOf(row) ?? -1;
    if (claim === undefined || index < 0) return;
    const last = claim.rows.pop() as ContainerRow;
    if (index < claim.rows.length) claim.rows[index] = last;
    if (claim.rows.length > 0) return;
    const left = this.of(label).filter((other) => other !== claim);
    const [first] = left;
    if (first === undefined) this.#labels.delete(label);
    else this.#labels.set(label, left.length === 1 ? first : left);
  }

  #claim(label: string, row: ContainerRow, instance: string | undefined): Claim | undefined {
    const claims = this.#labels.get(label);
    if (claims === undefined) return undefined;
    const isThis = (claim: Claim): boolean =>
      claim.project === row.project && claim.service === row.service && claim.instance === instance;
    if (Array.isArray(claims)) return claims.find(isThis);
    return isThis(claims) ? claims : undefined;
  }
}
