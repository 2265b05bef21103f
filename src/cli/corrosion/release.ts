import { homedir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { z } from "zod";
import { ARCHITECTURES, parseArch, type Arch } from "../../model/architecture.ts";
import { JijiError, messageOf } from "../../model/errors.ts";
import { parseSha256, sha256Of, type Sha256 } from "../../model/keys.ts";
import { readLocalFile, writeLocalFile } from "../../system/local-files.ts";
import { readTarEntry } from "./tar-entry.ts";

/** The release of Corrosion that this release of jiji is made for. */
export const CORROSION_VERSION = "v1.0.0";

const REPOSITORY = "superfly/corrosion";

const ASSETS: Readonly<Record<Arch, string>> = {
  x64: "corrosion-x86_64-unknown-linux-gnu.tar.gz",
  arm64: "corrosion-aarch64-unknown-linux-gnu.tar.gz",
};

/**
 * SHA-256 of the release's archives, filled in when jiji is released. Where it is empty the digest that the release
 * itself states is taken at the first download and kept in the lock file beside deploy.yml.
 */
const BUILT_IN: Partial<Readonly<Record<Arch, Sha256>>> = {};

/** Where releases are downloaded from. */
export interface CorrosionSource {
  /** answers the release's description, digests included */
  readonly apiUrl: string;
  /** answers the files */
  readonly downloadUrl: string;
  readonly fetch: (url: string, init: { signal: AbortSignal; headers: Record<string, string> }) => Promise<Response>;
}

export const OFFICIAL_SOURCE: CorrosionSource = {
  apiUrl: "https://api.github.com",
  downloadUrl: "https://github.com",
  fetch: (url, init) => fetch(url, init),
};

/** `jiji.lock.json`: what the first download was, so that every later one is the same. It holds no address. */
const lockSchema = z.object({
  corrosion: z
    .object({
      version: z.string(),
      files: z.partialRecord(
        z.enum(ARCHITECTURES),
        z.object({ archiveSha256: z.string(), executableSha256: z.string() }),
      ),
    })
    .optional(),
});

type LockFile = z.infer<typeof lockSchema>;

export interface CorrosionRequest {
  readonly arch: Arch;
  /** undefined: no lock file is read or written */
  readonly lockFile: string | undefined;
  readonly cacheFolder: string;
  readonly source: CorrosionSource;
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * The executable of the pinned release for that architecture: from the cache, or downloaded into it. Its digest is known
 * from the built-in table, else from the lock file, else from the release itself, which is then written to the lock file;
 * content that differs from a known digest is refused and not kept.
 */
export async function loadCorrosionRelease(
  request: CorrosionRequest,
): Promise<{ readonly path: string; readonly content: Uint8Array; readonly sha256: Sha256 }> {
  const { arch, cacheFolder } = request;
  const lock = readLock(request.lockFile);
  const locked = lock.corrosion?.version === CORROSION_VERSION ? lock.corrosion.files[arch] : undefined;
  refuseOtherLock(request, locked?.archiveSha256);
  const folder = join(cacheFolder, "corrosion", CORROSION_VERSION, arch);
  const executablePath = join(folder, "corrosion");
  if (locked !== undefined) {
    const cached = readLocalFile(executablePath);
    if (cached.state === "found") {
      const sha256 = sha256Of(cached.value);
      if (sha256 === locked.executableSha256) return { path: executablePath, content: cached.value, sha256 };
      throw changed(executablePath, "remove it and run the same command again");
    }
  }
  const archivePath = join(folder, ASSETS[arch]);
  const digest = BUILT_IN[arch] ?? parseSha256(locked?.archiveSha256 ?? "") ?? (await askDigest(request));
  const cachedArchive = readLocalFile(archivePath);
  const archive = cachedArchive.state === "found" ? cachedArchive.value : await download(request);
  if (sha256Of(archive) !== digest) {
    if (cachedArchive.state === "found") throw changed(archivePath, "remove it and run the same command again");
    throw new JijiError("conflict", `the download of Corrosion ${CORROSION_VERSION} is not what its digest says`, {
      hint: "try again later; nothing was kept or sent",
    });
  }
  const content = readTarEntry(gunzipSync(archive), "corrosion");
  if (content === undefined) {
    throw new JijiError("conflict", `Corrosion's archive ${ASSETS[arch]} does not hold the program`, {
      hint: "give a file of your own with --corrosion-binary PATH",
    });
  }
  const sha256 = sha256Of(content);
  if (locked !== undefined && sha256 !== locked.executableSha256) throw changed(archivePath, "restore the lock file");
  if (cachedArchive.state !== "found") writeLocalFile(archivePath, archive, 0o644);
  writeLocalFile(executablePath, content, 0o755);
  if (locked === undefined) writeLock(request, lock, digest, sha256);
  return { path: executablePath, content, sha256 };
}

/** Downloads the pinned release for this machine and returns its path. */
export async function fetchCorrosionRelease(options: { readonly say: (line: string) => void }): Promise<string> {
  const cacheFolder = process.env["JIJI_CACHE"] ?? join(homedir(), ".cache", "jiji");
  const { path } = await loadCorrosionRelease({
    arch: parseArch(process.arch) ?? "x64",
    lockFile: join(cacheFolder, "jiji.lock.json"),
    cacheFolder,
    source: OFFICIAL_SOURCE,
    say: options.say,
  });
  return path;
}

function changed(path: string, hint: string): JijiError {
  return new JijiError("conflict", `${path} is not the file that was checked before`, { hint });
}

function refuseOtherLock(request: CorrosionRequest, locked: string | undefined): void {
  const builtIn = BUILT_IN[request.arch];
  if (builtIn === undefined || locked === undefined || builtIn === locked) return;
  throw new JijiError(
    "conflict",
    `${request.lockFile ?? ""} names another Corrosion ${CORROSION_VERSION} than this release`,
    {
      hint: "remove the lock file if you did not write it by hand",
    },
  );
}

function readLock(path: string | undefined): LockFile {
  if (path === undefined) return {};
  const reading = readLocalFile(path);
  if (reading.state === "absent") return {};
  const parsed =
    reading.state === "found" ? lockSchema.safeParse(parseJson(reading.value.toString("utf8"))) : undefined;
  if (parsed?.success === true) return parsed.data;
  throw new JijiError("conflict", `${path} cannot be read as jiji's lock file`, { hint: "restore it, or remove it" });
}

function writeLock(request: CorrosionRequest, lock: LockFile, archive: Sha256, executable: Sha256): void {
  if (request.lockFile === undefined) return;
  const files = lock.corrosion?.version === CORROSION_VERSION ? lock.corrosion.files : {};
  const next: LockFile = {
    corrosion: {
      version: CORROSION_VERSION,
      files: { ...files, [request.arch]: { archiveSha256: archive, executableSha256: executable } },
    },
  };
  writeLocalFile(request.lockFile, `${JSON.stringify(next, null, 2)}\n`, 0o644);
  request.say(`wrote ${request.lockFile}: it pins this Corrosion for everybody who uses the file; commit it`);
}

const releaseSchema = z.object({
  assets: z.array(z.object({ name: z.string(), digest: z.string().nullish() })),
});

async function askDigest(request: CorrosionRequest): Promise<Sha256> {
  const path = `/repos/${REPOSITORY}/releases/tags/${CORROSION_VERSION}`;
  const response = await get(request, `${request.source.apiUrl}${path}`);
  const parsed = releaseSchema.safeParse(parseJson(await response.text()));
  const asset = parsed.data?.assets.find(({ name }) => name === ASSETS[request.arch]);
  const digest = parseSha256(/^sha256:([0-9a-f]{64})$/.exec(asset?.digest ?? "")?.[1] ?? "");
  if (digest !== undefined) return digest;
  throw new JijiError(
    "conflict",
    `Corrosion's release ${CORROSION_VERSION} states no digest for ${ASSETS[request.arch]}`,
    {
      hint: "give a file of your own with --corrosion-binary PATH",
    },
  );
}

async function download(request: CorrosionRequest): Promise<Uint8Array> {
  request.say(`downloading Corrosion ${CORROSION_VERSION} for ${request.arch} …`);
  const path = `/${REPOSITORY}/releases/download/${CORROSION_VERSION}/${ASSETS[request.arch]}`;
  const response = await get(request, `${request.source.downloadUrl}${path}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Long enough for 20 MB over a slow line. A server that stalls must not block the command for ever. */
const DOWNLOAD_TIMEOUT_MS = 300_000;

async function get(request: CorrosionRequest, url: string): Promise<Response> {
  const timeout = AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS);
  const signal = request.signal === undefined ? timeout : AbortSignal.any([timeout, request.signal]);
  let why: string;
  try {
    const response = await request.source.fetch(url, { signal, headers: { "user-agent": "jiji" } });
    if (response.ok) return response;
    why = `${response.status} ${response.statusText}`.trim();
  } catch (error) {
    why = messageOf(error);
  }
  throw new JijiError("connection", `Corrosion could not be downloaded from ${url}: ${why}`, {
    hint: "try again, or give a file of your own with --corrosion-binary PATH",
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
