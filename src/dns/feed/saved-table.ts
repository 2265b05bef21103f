import { open, readFile, rename, rm } from "node:fs/promises";
import { z } from "zod";
import { CONTAINER_STATES, type ContainerState } from "../../model/container-record.ts";
import { parseServerId } from "../../model/keys.ts";
import { parseDnsLabel } from "../../model/names.ts";
import type { ContainerFacts } from "../zone/container-rows.ts";
import type { Zone, ZoneServer } from "../zone/zone.ts";

/**
 * The last table on disk: names resolve right after a start, without store and agent. It is one JSON object with the rows in
 * columns. A file that was cut is no JSON, and counts as absent.
 */
const headSchema = z.object({
  version: z.literal(1),
  cluster: z.string(),
  self: z.string().nullable(),
  networks: z.array(z.string()),
  servers: z.array(
    z.object({
      id: z.string().refine((id) => parseServerId(id) === id),
      name: z.string().refine((name) => parseDnsLabel(name) === name),
      subnet: z.int(),
    }),
  ),
  savedAtMs: z.number(),
});

/** What is saved besides rows. */
export interface SavedMesh {
  readonly self: string | null;
  /** the server's own engine networks, whose containers may ask */
  readonly networks: readonly string[];
  readonly servers: readonly ZoneServer[];
  readonly savedAtMs: number;
}

/** Columns of numbers; those of texts hold places in `texts`, -1 for none. */
const COLUMNS = [
  "owner",
  "n",
  "rev",
  "address",
  "state",
  "project",
  "service",
  "instance",
  "containerId",
  "ports",
  "image",
] as const;

type Columns = Record<(typeof COLUMNS)[number], number[]>;

/**
 * Writes the zone's rows and the mesh to `path`, atomically. Throws when it cannot be written; then the file is as it was.
 */
export async function saveTable(
  path: string,
  zone: Zone,
  mesh: Omit<SavedMesh, "servers">,
  pause: () => Promise<void>,
): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o640);
  try {
    await pause();
    const { owners, texts, columns } = await collect(zone, pause);
    const head = { version: 1, cluster: zone.cluster, ...mesh, servers: zone.servers, owners };
    await file.writeFile(`${JSON.stringify(head).slice(0, -1)},"texts":${JSON.stringify(texts)}`);
    for (const name of COLUMNS) {
      await file.writeFile(`,"column ${name}":${JSON.stringify(columns[name])}`);
      await pause();
    }
    await file.writeFile("}\n");
    await file.sync();
  } catch (error) {
    await file.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await file.close();
  await rename(temporary, path);
}

async function collect(zone: Zone, pause: () => Promise<void>) {
  const columns = Object.fromEntries(COLUMNS.map((name) => [name, [] as number[]])) as Columns;
  const places = new Map<string, number>();
  const place = (text: string): number => {
    const known = places.get(text) ?? places.size;
    places.set(text, known);
    return known;
  };
  const owners = zone.owners.all().map(({ id }) => id);
  for (const owner of [...zone.owners.all()]) {
    for (const [n, row] of [...owner.rows]) {
      // The rows may have changed while others had their turn.
      if (owner.rows.get(n) !== row) continue;
      const facts = zone.rows.facts(row);
      columns.owner.push(owner.index);
      columns.n.push(n);
      columns.rev.push(facts.rev);
      columns.address.push(facts.address);
      columns.state.push(CONTAINER_STATES.indexOf(facts.state));
      columns.instance.push(facts.instance === null ? -1 : place(facts.instance));
      for (const name of ["project", "service", "containerId", "ports", "image"] as const) {
        columns[name].push(place(facts[name]));
      }
    }
    await pause();
  }
  return { owners, texts: [...places.keys()], columns };
}

/**
 * Puts a saved table's rows and members into the zone. Undefined, and nothing is changed, when there is no such file, it
 * was cut, is of another cluster or malformed anywhere.
 */
export async function loadTable(path: string, zone: Zone): Promise<SavedMesh | undefined> {
  try {
    const json = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
    const head = headSchema.parse(json);
    const rows = new SavedRows(json);
    if (head.cluster !== zone.cluster || !rows.areWhole) return undefined;
    zone.setServers(head.servers);
    zone.setSelf(head.self ?? undefined);
    for (let row = 0; row < rows.count; row++) {
      const place = zone.owners.place(rows.owner(row), rows.n(row));
      if (place !== undefined) zone.set(place, rows.facts(row));
    }
    return head;
  } catch {
    return undefined;
  }
}

/** The columns of a file. */
class SavedRows {
  readonly #columns: Columns;
  readonly #owners: readonly string[];
  readonly #texts: readonly string[];
  readonly #isLabel: readonly boolean[];
  readonly areWhole: boolean;

  constructor(json: Record<string, unknown>) {
    const columns = COLUMNS.map((name) => [name, json[`column ${name}`] ?? []]);
    this.#columns = Object.fromEntries(columns) as Columns;
    this.#owners = (json["owners"] ?? []) as string[];
    this.#texts = (json["texts"] ?? []) as string[];
    // Each text is looked at once, however many rows have it.
    this.#isLabel = this.#texts.map((text) => parseDnsLabel(text) !== undefined);
    this.areWhole = this.#check();
  }

  get count(): number {
    return this.#columns.owner.length;
  }

  owner(row: number): string {
    return this.#owners[this.#columns.owner[row] ?? -1] ?? "";
  }

  n(row: number): number {
    return this.#columns.n[row] ?? -1;
  }

  facts(row: number): ContainerFacts {
    const { rev, address, state, instance } = this.#columns;
    return {
      rev: rev[row] ?? 0,
      address: address[row] ?? -1,
      state: CONTAINER_STATES[state[row] ?? 0] as ContainerState,
      project: this.#text("project", row),
      service: this.#text("service", row),
      instance: instance[row] === -1 ? null : this.#text("instance", row),
      containerId: this.#text("containerId", row),
      ports: this.#text("ports", row),
      image: this.#text("image", row),
    };
  }

  #text(name: keyof Columns, row: number): string {
    return this.#texts[this.#columns[name][row] ?? -1] ?? "";
  }

  #check(): boolean {
    const areTexts = [...this.#texts, ...this.#owners].every((text) => typeof text === "string");
    if (!areTexts || COLUMNS.some((name) => this.#columns[name].length !== this.count)) return false;
    for (let row = 0; row < this.count; row++) {
      for (const name of COLUMNS) if (!Number.isSafeInteger(this.#columns[name][row])) return false;
      const isGood =
        CONTAINER_STATES[this.#columns.state[row] ?? -1] !== undefined &&
        this.#labelAt("project", row) &&
        this.#labelAt("service", row) &&
        (this.#columns.instance[row] === -1 || this.#labelAt("instance", row)) &&
        /^[0-9a-f]{64}$/.test(this.#text("containerId", row));
      if (!isGood) return false;
    }
    return true;
  }

  #labelAt(name: keyof Columns, row: number): boolean {
    return this.#isLabel[this.#columns[name][row] ?? -1] === true;
  }
}
