import type { Arch } from "../../model/architecture.ts";
import type { Sha256 } from "../../model/keys.ts";
import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import type { CorrosionChoice } from "../corrosion/choice.ts";
import { formatBytes } from "../duration.ts";
import type { ReachedServer } from "../servers/fleet.ts";
import type { Output } from "../output.ts";
import type { ReleaseFiles } from "./release-files.ts";
import { stage, unstage, type Upload } from "./staging.ts";

/** A server whose architecture jiji supports. */
export type FitServer = ReachedServer & { readonly arch: Arch };

interface NeededFile {
  readonly what: "jiji" | "Corrosion";
  readonly sha256: Sha256;
  /** undefined: only the hash is known, not the content */
  readonly sizeBytes: number | undefined;
  readonly readPacked: (() => Uint8Array) | undefined;
  /** where it is installed */
  readonly path: string;
  /** the hash in the server's last spec */
  readonly givenSha256: Sha256 | undefined;
}

/** Sends what servers lack, remembers what it sent, and takes it back when it was not used. */
export class Uploads {
  readonly #files: ReleaseFiles;
  readonly #corrosion: CorrosionChoice | undefined;
  readonly #output: Output;
  readonly #signal: AbortSignal;
  readonly #sent = new Map<ReachedServer, Sha256[]>();
  #fit: readonly FitServer[] = [];
  readonly #packed = new Map<Sha256, Uint8Array>();

  constructor(files: ReleaseFiles, corrosion: CorrosionChoice | undefined, output: Output, signal: AbortSignal) {
    this.#files = files;
    this.#corrosion = corrosion;
    this.#output = output;
    this.#signal = signal;
  }

  /** The program that answers on this server: the one of this release where it is sent; undefined: what is installed. */
  programFor(server: ReachedServer): Sha256 | undefined {
    return this.#fit.find((each) => each === server) && server.arch && this.#files.byArch[server.arch].sha256;
  }

  /** Sends every file that one of the servers has neither installed nor waiting. Throws for the first that fails. */
  async stageMissing(servers: readonly FitServer[]): Promise<void> {
    this.#fit = servers;
    await this.#stageAll(
      servers.map((server) => [server, this.#needed(server).filter((file) => !isThere(server, file))] as const),
    );
  }

  /** Sends these files although they seemed to be there: the plan shows that the server has different content. */
  async stageAgain(server: FitServer, paths: ReadonlySet<string>): Promise<void> {
    const files = this.#needed(server).filter(({ path, sha256 }) => paths.has(path) && !this.#wasSent(server, sha256));
    await this.#stageAll([[server, files]]);
  }

  /** Removes what was sent and not installed. Never throws. */
  async takeBack(): Promise<void> {
    await Promise.all([...this.#sent].map(([server, hashes]) => unstage(server.connection, hashes)));
    this.#sent.clear();
  }

  #wasSent(server: FitServer, sha256: Sha256): boolean {
    return this.#sent.get(server)?.includes(sha256) === true || server.connection.probe.staged.has(sha256);
  }

  #needed(server: FitServer): NeededFile[] {
    const { arch, spec } = server;
    const jiji = this.#files.byArch[arch];
    const needed: NeededFile[] = [
      {
        what: "jiji",
        sha256: jiji.sha256,
        sizeBytes: jiji.sizeBytes,
        readPacked: () => this.#files.readPacked(arch),
        path: PATHS.executable,
        givenSha256: spec?.release.jiji.sha256,
      },
    ];
    if (this.#corrosion === undefined) return needed;
    const corrosion = this.#corrosion.byArch[arch];
    if (corrosion === undefined) {
      throw new JijiError("usage", `the server is ${arch}, and no Corrosion for ${arch} was given`, {
        server: server.config.name,
        hint: "give --corrosion-binary once for each architecture",
      });
    }
    needed.push({
      what: "Corrosion",
      ...corrosion,
      path: PATHS.corrosionExecutable,
      givenSha256: spec?.release.corrosion?.sha256,
    });
    return needed;
  }

  async #stageAll(work: readonly (readonly [FitServer, readonly NeededFile[]])[]): Promise<void> {
    const results = await Promise.allSettled(
      work.map(async ([server, files]) => {
        for (const file of files) await this.#stageOne(server, file);
      }),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async #stageOne(server: FitServer, file: NeededFile): Promise<void> {
    const { name } = server.config;
    const upload = this.#upload(name, file);
    this.#sent.set(server, [...(this.#sent.get(server) ?? []), file.sha256]);
    const total = formatBytes(upload.packed.length);
    let shown = 0;
    this.#output.server(name, `uploading ${file.what} (${total}) …`);
    const onSent = (bytes: number): void => {
      const quarter = Math.floor((bytes * 4) / upload.packed.length);
      if (quarter <= shown || quarter === 4) return;
      shown = quarter;
      this.#output.server(name, `uploading ${file.what}: ${formatBytes(bytes)} of ${total}`);
    };
    await stage(server.connection, name, upload, onSent, this.#signal);
    this.#output.server(name, `${file.what} is there, and its hash is right`);
  }

  #upload(server: string, file: NeededFile): Upload {
    const { sha256, sizeBytes, readPacked } = file;
    if (sizeBytes === undefined || readPacked === undefined) {
      throw new JijiError("usage", "the mesh runs a Corrosion of your own, which this server does not have", {
        server,
        hint: "give the same file again: --corrosion-binary PATH (or: --corrosion-binary official)",
      });
    }
    const packed = this.#packed.get(sha256) ?? readPacked();
    this.#packed.set(sha256, packed);
    return { sha256, sizeBytes, packed };
  }
}

/**
 * Whether the file need not be sent. An installed file was checked when it was sent; the server's own plan reads it whole
 * and finds later changes.
 */
function isThere(server: FitServer, file: NeededFile): boolean {
  const { probe } = server.connection;
  if (probe.staged.has(file.sha256)) return true;
  const size = probe.installed.get(file.path);
  return (
    size !== undefined && file.givenSha256 === file.sha256 && (file.sizeBytes === undefined || size === file.sizeBytes)
  );
}
