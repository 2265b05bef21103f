import { join } from "node:path";
import { z } from "zod";
import type { Arch } from "../../model/architecture.ts";
import type { ReleaseFile } from "../../desired/release-choice.ts";
import { JijiError } from "../../model/errors.ts";
import { parseSha256, sha256Of } from "../../model/keys.ts";
import { branded } from "../../model/schema.ts";
import { readLocalFile } from "../../system/local-files.ts";

/** The executables for servers. They stand beside the CLI and are never searched elsewhere or downloaded. */
export interface ReleaseFiles {
  readonly version: string;
  readonly byArch: Readonly<Record<Arch, ReleaseFile & { readonly sizeBytes: number }>>;
  /** Reads the packed executable and checks its hash. */
  readPacked(arch: Arch): Uint8Array;
}

const file = z.object({
  sha256: branded(parseSha256),
  sizeBytes: z.int().min(1),
  gzip: z.string().regex(/^[0-9a-z-]+\.gz$/),
  gzipSha256: branded(parseSha256),
  glibc: z.string().regex(/^[0-9.]+$/),
});

const schema = z.object({
  version: z.string().regex(/^[0-9A-Za-z.+-]{1,40}$/),
  files: z.object({ x64: file, arm64: file }),
});

/** Reads release.json of that folder. Throws a JijiError when the CLI was installed without its server files. */
export function loadReleaseFiles(folder: string): ReleaseFiles {
  const reading = readLocalFile(join(folder, "release.json"));
  if (reading.state !== "found") {
    throw new JijiError("conflict", `the files for servers are missing: ${join(folder, "release.json")}`, {
      hint: "install jiji with its folder `server`, or build it: npm run build",
    });
  }
  const parsed = schema.safeParse(parseJson(reading.value.toString("utf8")));
  if (!parsed.success) {
    throw new JijiError("conflict", `${join(folder, "release.json")} is not the one that was installed`, {
      hint: "install jiji again",
    });
  }
  const { version, files } = parsed.data;
  return {
    version,
    byArch: files,
    readPacked(arch) {
      const path = join(folder, files[arch].gzip);
      const packed = readLocalFile(path);
      if (packed.state === "found" && sha256Of(packed.value) === files[arch].gzipSha256) return packed.value;
      throw new JijiError(
        "conflict",
        `${path} is ${packed.state === "found" ? "not the file of this release" : "missing"}`,
        {
          hint: "install jiji again; nothing was sent",
        },
      );
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
