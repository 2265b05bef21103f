import { open, readFile, rename, rm } from "node:fs/promises";
import { z } from "zod";
import { CONTAINER_STATES } from "../model/container-record.ts";
import { parseDnsLabel } from "../model/names.ts";
import type { ContainerRow } from "./container-row.ts";
import type { Zone, ZoneServer } from "./zone.ts";

/**
 * The last table on disk, so that names resolve right after a start without store and agent. Lines of JSON: what is
 * known of the mesh, then the rows of each server, and at the end their number, by which a file that was cut is known.
 */
const headSchema = z.object({
  version: z.literal(1),
  cluster: z.string(),
  self: z.string().nullable(),
  networks: z.array(z.string()),
  servers: z.array(z.object({ id: z.string(), name: z.string(), subnet: z.int() })),
  savedAtMs: z.number(),
});

/** What is known besides rows. */
export interface SavedMesh {
  readonly self: string | null;
  /** the server's own engine networks, whose containers may ask */
  readonly networks: readonly string[];
  readonly servers: readonly ZoneServer[];
  readonly savedAtMs: number;
}

const endSchema = z.object({ rows: z.int() });

const rowSchema = z.tuple([
  z.string(), // server's id
  z.int(), // n
  z.int(), // rev
  z.string(), // project
  z.string(), // service
  z.string().nullable(), // instance
  z.int(), // address
  z.enum(CONTAINER_STATES),
  z.string(), // containerId
  z.string(), // ports
  z.string(), // meta
]);

type SavedRow = z.infer<typeof rowSchema>;

/** Lines written between two pauses. */
const SLICE_ROWS = 1_000;

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
    const head = { version: 1, cluster: zone.cluster, ...mesh, servers: zone.servers };
    await file.writeFile(`${JSON.stringify(head)}\n`);
    let rows = 0;
    let lines: string[] = [];
    for (const owner of [...zone.owners()]) {
      for (const row of [...owner.rows.values()]) {
        lines.push(JSON.stringify(savedRowOf(row)));
        if (++rows % SLICE_ROWS !== 0) continue;
        await file.writeFile(`${lines.join("\n")}\n`);
        lines = [];
        await pause();
      }
    }
    lines.push(JSON.stringify({ rows }));
    await file.writeFile(`${lines.join("\n")}\n`);
    await file.sync();
  } catch (error) {
    await file.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await file.close();
  await rename(temporary, path);
}

function savedRowOf(row: ContainerRow): SavedRow {
  const { owner, n, rev, project, service, instance, address, state, containerId, ports, meta } = row;
  return [owner.id, n, rev, project, service, instance ?? null, address, state, containerId, ports, meta];
}

/**
 * Puts a saved table's rows and members into the zone. Undefined, and nothing is changed, when there is no such file, it
 * was cut, is of another cluster or malformed in any line.
 */
export async function loadTable(path: string, zone: Zone): Promise<SavedMesh | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    return undefined;
  }
  try {
    const lines = text.trimEnd().split("\n");
    const head = headSchema.parse(JSON.parse(lines[0] ?? ""));
    const end = endSchema.parse(JSON.parse(lines.at(-1) ?? ""));
    if (head.cluster !== zone.cluster || end.rows !== lines.length - 2) return undefined;
    const rows = lines.slice(1, -1).map((line) => rowOf(JSON.parse(line), zone));
    zone.setServers(head.servers);
    zone.setSelf(head.self ?? undefined);
    for (const row of rows) zone.setRow(row.owner, row.n, row);
    return head;
  } catch {
    return undefined;
  }
}

/** Checked by hand, since a schema would take longer than all the rest. Throws when it is no row. */
function rowOf(json: unknown, zone: Zone): ContainerRow {
  const [id, n, rev, project, service, instance, address, state, containerId, ports, meta] = json as SavedRow;
  const isWhole =
    typeof id === "string" &&
    Number.isSafeInteger(n) &&
    Number.isSafeInteger(rev) &&
    isLabel(project) &&
    isLabel(service) &&
    (instance === null || isLabel(instance)) &&
    Number.isInteger(address) &&
    CONTAINER_STATES.includes(state) &&
    [containerId, ports, meta].every((text) => typeof text === "string");
  if (!isWhole) throw new TypeError("not a row");
  const { owner } = zone.placeOf(id, n);
  return {
    owner,
    n,
    rev,
    project: zone.pool.share(project),
    service: zone.pool.share(service),
    instance: instance === null ? undefined : zone.pool.share(instance),
    address,
    state,
    containerId,
    ports: zone.pool.share(ports),
    meta: zone.pool.share(meta),
  };
}

function isLabel(value: unknown): boolean {
  return typeof value === "string" && parseDnsLabel(value) !== undefined;
}
