import { ipv4FromNumber } from "../../model/address.ts";
import type { TracedRow } from "../../model/dns-trace.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import { compareText, NONE } from "../zone/name-claims.ts";
import { placesOf, type Owner } from "../zone/owners.ts";
import type { Omission, Recorder, Zone } from "../zone/zone.ts";
import { describeClaim, whyLeftOut, whyShadowed } from "./name-listing.ts";

/** The rows that a trace is about, and what the zone and the answer have decided of each. */
export class TracedRows {
  readonly #zone: Zone;
  readonly #rows: {
    readonly owner: Owner;
    readonly n: number;
    readonly row: number;
    readonly source: "store" | "news";
  }[];
  readonly #decided = new Map<number, Omission | undefined>();
  readonly #counting: number[] = [];

  /** @param isWanted whether a row, that counts or does not, could have to do with the question */
  constructor(zone: Zone, isWanted: (row: number) => boolean) {
    this.#zone = zone;
    this.#rows = [];
    for (const owner of zone.owners.all()) {
      for (const n of placesOf(owner)) {
        const places = { store: owner.rows.get(n) ?? NONE, news: owner.news.get(n)?.row ?? NONE };
        const known = (["store", "news"] as const).filter(
          (source) => places[source] !== NONE && isWanted(places[source]),
        );
        if (known.length === 0) continue;
        for (const source of known) this.#rows.push({ owner, n, row: places[source], source });
        const counting = zone.counting(owner, n, this.record);
        if (counting !== NONE) this.#counting.push(counting);
      }
    }
  }

  /** Takes down what is decided of a row; of two decisions the later one holds. */
  readonly record: Recorder = (row, omission) => void this.#decided.set(row, omission);

  /** Takes down what is decided of each row that counts, whatever it is asked for by. */
  recordAll(): void {
    for (const row of this.#counting) this.record(row, this.#zone.omission(row));
  }

  /**
   * The rows, by server and number. An address that was answered is answered under the name `under`; undefined: under any
   * that leads to the row.
   */
  list(under?: string): TracedRow[] {
    const rows = this.#rows.map(({ owner, n, row, source }): TracedRow => {
      const { address, containerId, state, rev } = this.#zone.rows.facts(row);
      const names = labelsOf(this.#zone, row).map((label) => holdOf(this.#zone, row, label));
      const isHeld = names.some((each) => each.isHeld && (under === undefined || each.name === under));
      const omission = this.#decided.get(row);
      const isAnswered = isHeld && this.#decided.has(row) && omission === undefined;
      const lost = names.find(({ name }) => name === under) ?? names[0];
      const why = omission === undefined ? (lost?.why ?? "it has another name") : whyLeftOut(this.#zone, row, omission);
      return {
        server: owner.member?.name ?? owner.id,
        serverId: owner.id,
        ...{ n, containerId, state, rev, source, names, isAnswered },
        address: address < 0 ? null : ipv4FromNumber(address),
        ...(!isAnswered && { why }),
      };
    });
    return rows.sort((a, b) => compareText(a.server, b.server) || a.n - b.n || compareText(b.source, a.source));
  }
}

/** The labels below `jiji` that a row spells, the service's first. */
export function labelsOf({ rows }: Zone, row: number): readonly string[] {
  const service = `${rows.texts.text(rows.project(row))}-${rows.texts.text(rows.service(row))}`;
  return rows.instance(row) < 0 ? [service] : [service, `${service}-${rows.texts.text(rows.instance(row))}`];
}

/** Whether a label leads to the row's service or instance, and what has it otherwise. */
function holdOf(zone: Zone, row: number, label: string): TracedRow["names"][number] {
  const name = `${label}.${SERVICE_DOMAIN}`;
  const own = label === labelsOf(zone, row)[0] ? zone.claims.serviceClaim(row) : zone.claims.instanceClaim(row);
  const [winner] = zone.claims.of(label);
  if (winner === undefined || own === NONE) {
    return { name, isHeld: false, why: label.length > 63 ? "it is longer than a DNS label" : "no row of it counts" };
  }
  if (winner === own) return { name, isHeld: true };
  const why = whyShadowed(zone.claims.isService(winner), zone.claims.isService(own));
  return { name, isHeld: false, why: `${name} means ${describeClaim(zone, winner)}: ${why}` };
}
