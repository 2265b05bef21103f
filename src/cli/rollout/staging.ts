import { JijiError } from "../../model/errors.ts";
import type { Sha256 } from "../../model/keys.ts";
import { showText } from "../../model/shown-text.ts";
import { markerMissing } from "../servers/node-client.ts";
import { SCRIPT_EXIT } from "../../system/bootstrap-script.ts";
import { MarkerMissing } from "../../system/answer-marker.ts";
import { SessionEnded, type Connection, type Session } from "../../system/connection.ts";

/** A file for a server, packed with gzip. */
export interface Upload {
  readonly sha256: Sha256;
  readonly sizeBytes: number;
  readonly packed: Uint8Array;
}

const CHUNK_BYTES = 128 * 1024;

/**
 * Sends a file into the server's staging folder. The server checks the hash before it accepts the file. When it throws a
 * JijiError, nothing of the file is left behind.
 */
export async function stage(
  connection: Connection,
  server: string,
  upload: Upload,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const session = connection.start("receive");
  const onAbort = (): void => session.kill();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await session.write(`${upload.sha256} ${upload.sizeBytes}\n`);
    for (let at = 0; at < upload.packed.length; at += CHUNK_BYTES) {
      await session.write(upload.packed.subarray(at, at + CHUNK_BYTES));
      onSent(Math.min(at + CHUNK_BYTES, upload.packed.length));
    }
    session.end();
  } catch (error) {
    if (!(error instanceof SessionEnded)) throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  const missing = await missingMarker(session);
  const end = await session.exited;
  signal.throwIfAborted();
  if (end.code === 0 && missing !== undefined) throw markerMissing(server, missing.said);
  if (end.code === 0) return;
  const said = showText(/jiji: (.*)/.exec(end.stderr)?.[1] ?? end.stderr.trim().split("\n").at(-1) ?? "");
  if (end.lost) {
    throw new JijiError("connection", "the connection was lost during the upload", { server, hint: "run it again" });
  }
  throw new JijiError("remote", `the upload failed (exit ${end.code}): ${said}`, {
    server,
    hint: end.code === SCRIPT_EXIT.noSpace ? "make room on the file system of /opt" : "check /opt/jiji on the server",
  });
}

/** Reads the output to its end; the error when the script never began. */
async function missingMarker(session: Session): Promise<MarkerMissing | undefined> {
  try {
    for await (const _line of session.lines);
  } catch (error) {
    if (error instanceof MarkerMissing) return error;
    session.kill();
  }
  return undefined;
}

/** Removes uploads that were not used. Never throws: the next run uses or replaces what is left. */
export async function unstage(connection: Connection, hashes: readonly Sha256[]): Promise<void> {
  try {
    const session = connection.start("unstage");
    await session.write(hashes.map((hash) => `${hash}\n`).join(""));
    session.end();
    await session.exited;
  } catch {
    // The connection is gone, so nothing can be cleaned up.
  }
}
