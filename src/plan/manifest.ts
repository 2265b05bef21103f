/**
 * /opt/jiji/manifest.json: what was there before jiji, written before the first change of each thing. Teardown undoes
 * exactly what stands here, and touches nothing else.
 */
export interface ManifestEntry {
  /** the resource kind that wrote it */
  readonly kind: string;
  readonly target: string;
  /** what the kind needs to put back the state from before; plain JSON; null when the thing was absent */
  readonly before: unknown;
}

export interface Manifest {
  readonly version: 1;
  readonly entries: readonly ManifestEntry[];
}

export const EMPTY_MANIFEST: Manifest = { version: 1, entries: [] };

/** The entry of one thing, if jiji has ever changed it. */
export function manifestEntry(manifest: Manifest, kind: string, target: string): ManifestEntry | undefined {
  return manifest.entries.find((entry) => entry.kind === kind && entry.target === target);
}

/** Everything that a kind has changed, the last change first. */
export function entriesOf(manifest: Manifest, kind: string): readonly ManifestEntry[] {
  return manifest.entries.filter((entry) => entry.kind === kind).toReversed();
}
