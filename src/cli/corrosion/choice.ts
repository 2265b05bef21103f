import { gzipSync } from "node:zlib";
import { dirname, join, resolve } from "node:path";
import type { Arch } from "../../model/architecture.ts";
import { JijiError } from "../../model/errors.ts";
import { sha256Of, type Sha256 } from "../../model/keys.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import { readLocalFile } from "../../system/local-files.ts";
import type { CliContext } from "../context.ts";
import { CORROSION_VERSION, loadCorrosionRelease } from "./release.ts";
import { parseElf } from "./elf.ts";
import { expandHome } from "../load-config.ts";

/** The Corrosion that this run installs. */
export interface CorrosionChoice {
  readonly version: string;
  readonly byArch: Partial<Readonly<Record<Arch, CorrosionFile>>>;
}

export interface CorrosionFile {
  readonly sha256: Sha256;
  /** undefined: only the hash is known, since the servers have it already */
  readonly sizeBytes: number | undefined;
  readonly glibc: string;
  /** The file packed with gzip; undefined like `sizeBytes`. */
  readonly readPacked: (() => Uint8Array) | undefined;
}

/** A file of the operator's own has no version, so it is named after its content. */
const OWN = "own-";

/**
 * What `--corrosion-binary` says: paths, or the word `official`. Without the option the servers keep the operator's earlier
 * file if they have one; otherwise it is the pinned official release.
 */
export async function chooseCorrosion(request: {
  readonly context: CliContext;
  readonly given: readonly string[];
  readonly architectures: ReadonlySet<Arch>;
  /** specs of the servers that are members already, with their architecture */
  readonly specs: readonly { readonly arch: Arch; readonly spec: NodeSpec }[];
  readonly configPath: string;
  readonly say: (line: string) => void;
}): Promise<CorrosionChoice> {
  const { context, given, architectures, say } = request;
  if (given.length > 0 && !given.includes("official")) return readOwnFiles(context, given);
  const kept = given.length === 0 ? keptFiles(request.specs) : undefined;
  if (kept !== undefined) return kept;
  const byArch: Partial<Record<Arch, CorrosionFile>> = {};
  for (const arch of architectures) {
    const lockFile = join(dirname(request.configPath), "jiji.lock.json");
    const release = { arch, lockFile, cacheFolder: context.cacheFolder, source: context.corrosion, say };
    const { path, content, sha256 } = await loadCorrosionRelease({ ...release, signal: context.interrupted });
    byArch[arch] = fileOf(path, content, sha256, arch);
  }
  return { version: CORROSION_VERSION, byArch };
}

function readOwnFiles(context: CliContext, paths: readonly string[]): CorrosionChoice {
  const byArch: Partial<Record<Arch, CorrosionFile>> = {};
  for (const given of paths) {
    const path = resolve(context.cwd, expandHome(given, context.home));
    const reading = readLocalFile(path);
    if (reading.state !== "found") {
      const why = reading.state === "absent" ? "does not exist" : `cannot be read: ${reading.why}`;
      throw new JijiError("usage", `--corrosion-binary: ${path} ${why}`);
    }
    const arch = parseElf(reading.value)?.arch;
    if (arch === undefined) {
      throw new JijiError("usage", `--corrosion-binary: ${path} is not a Linux executable for x64 or arm64`);
    }
    byArch[arch] = fileOf(path, reading.value, sha256Of(reading.value), arch);
  }
  const hashes = Object.values(byArch).map(({ sha256 }) => sha256);
  const name = hashes.length === 1 ? hashes[0] : sha256Of(hashes.toSorted().join("\n"));
  return { version: `${OWN}${name?.slice(0, 12)}`, byArch };
}

function fileOf(path: string, content: Uint8Array, sha256: Sha256, arch: Arch): CorrosionFile {
  const elf = parseElf(content);
  if (elf?.arch !== arch) {
    throw new JijiError("conflict", `${path} is not an executable for ${arch}`, {
      hint: "give another --corrosion-binary",
    });
  }
  return {
    sha256,
    sizeBytes: content.length,
    glibc: elf.glibc,
    readPacked: () => gzipSync(content, { level: 1 }),
  };
}

/** The operator's own file, when all members have the same one. */
function keptFiles(specs: readonly { readonly arch: Arch; readonly spec: NodeSpec }[]): CorrosionChoice | undefined {
  const releases = specs.flatMap(({ arch, spec }) =>
    spec.release.corrosion === undefined ? [] : [{ arch, ...spec.release.corrosion }],
  );
  const version = releases[0]?.version;
  if (version === undefined || !version.startsWith(OWN) || releases.some((release) => release.version !== version)) {
    return undefined;
  }
  const byArch: Partial<Record<Arch, CorrosionFile>> = {};
  for (const { arch, sha256 } of releases) {
    byArch[arch] = { sha256, sizeBytes: undefined, glibc: "0", readPacked: undefined };
  }
  return { version, byArch };
}
