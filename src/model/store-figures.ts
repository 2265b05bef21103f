import { z } from "zod";

const count = z.number().min(0);

/** Rows of one kind that belong to one server. Copies on other servers differ when their digests do. */
const owned = z.object({ id: z.string().max(100), rows: count, digest: z.string().max(64) });

/** What a store's own file says of itself. Everything comes from one snapshot. */
export const storeFiguresSchema = z.object({
  tables: z
    .array(
      z.object({
        name: z.string(),
        rows: count,
        bytes: count,
        /** what Corrosion keeps for each value and each key ever used; null: this store keeps none */
        clock: z.object({ rows: count, keys: count, bytes: count }).nullable(),
      }),
    )
    .max(100),
  /** all pages of the file, and the empty ones among them */
  pages: z.object({ bytes: count, freeBytes: count }),
  /** container rows by the server that owns them */
  owners: z.array(owned).max(1000),
  /** the signed rows of servers, each by itself */
  servers: z.array(owned).max(1000),
  removed: owned,
  /** owners, servers or versions beyond what is listed */
  unlisted: count,
  /** Corrosion only */
  replication: z
    .object({
      /** this store among the versions; null: not known */
      site: z.string().max(64).nullable(),
      /** the last change of each other store that this one has, by that store's id */
      versions: z.array(z.object({ site: z.string().max(64), version: count })).max(1000),
      /** versions that this store knows it is missing */
      missing: count,
      /** other stores that it has met, by the state in which it believes them to be */
      members: z.record(z.string().max(40), count),
    })
    .nullable(),
});

export type StoreFigures = z.infer<typeof storeFiguresSchema>;

/** What the running store says of itself over its API; Corrosion from v1.0.0 on. */
export const storeHealthSchema = z.object({
  gaps: count,
  members: count,
  /** seconds until a change made elsewhere arrives here, 99th percentile; null: no recent change */
  lagSeconds: z.number().nullable(),
});

export type StoreHealth = z.infer<typeof storeHealthSchema>;
