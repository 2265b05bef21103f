import { z } from "zod";
import { JijiError } from "../model/errors.ts";
import { PATHS } from "../model/paths.ts";
import { EMPTY_MANIFEST, manifestEntry, type Manifest, type ManifestEntry } from "../plan/manifest.ts";
import type { Files } from "../system/host.ts";

const manifestSchema = z.object({
  version: z.literal(1),
  entries: z.array(z.object({ kind: z.string(), target: z.string(), before: z.unknown() })),
});

/**
 * /opt/jiji/manifest.json while an apply runs. Every change is on disk when its promise resolves. It may hold what stood
 * in foreign files before, so only root reads it.
 */
export class ManifestFile {
  readonly #files: Files;
  #manifest: Manifest;

  private constructor(files: Files, manifest: Manifest) {
    this.#files = files;
    this.#manifest = manifest;
  }

  /** Absent is empty; a file that cannot be read or is not a manifest throws, for nothing could be put back then. */
  static async load(files: Files): Promise<ManifestFile> {
    const text = await files.read(PATHS.manifest);
    if (text.state === "absent") return new ManifestFile(files, EMPTY_MANIFEST);
    const parsed = text.state === "found" ? parseManifest(text.value) : undefined;
    if (parsed !== undefined) return new ManifestFile(files, parsed);
    throw new JijiError("conflict", `${PATHS.manifest} cannot be read`, {
      hint: "it says what was on this server before jiji; restore it from a backup, or remove it to keep all as it is now",
      cause: text.state === "unknown" ? text.why : undefined,
    });
  }

  get manifest(): Manifest {
    return this.#manifest;
  }

  /** Once for each thing: what stands there already is the older truth. */
  async remember(entry: ManifestEntry): Promise<void> {
    if (manifestEntry(this.#manifest, entry.kind, entry.target) !== undefined) return;
    await this.#save([...this.#manifest.entries, entry]);
  }

  async forget(kind: string, target: string): Promise<void> {
    const rest = this.#manifest.entries.filter((entry) => entry.kind !== kind || entry.target !== target);
    if (rest.length < this.#manifest.entries.length) await this.#save(rest);
  }

  async #save(entries: readonly ManifestEntry[]): Promise<void> {
    const manifest: Manifest = { version: 1, entries };
    await this.#files.write(PATHS.manifest, `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
    this.#manifest = manifest;
  }
}

function parseManifest(text: string): Manifest | undefined {
  try {
    const parsed = manifestSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
