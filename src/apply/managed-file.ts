import { dirname } from "node:path";
import { JijiError } from "../model/errors.ts";
import { ABSENT, known } from "../model/reading.ts";
import { UNIT_FOLDER } from "../model/units.ts";
import { fileBeforeSchema, type FileBefore, type ManagedFileAction, type SeenFile } from "../plan/managed-file.ts";
import type { FileOwner, Files } from "../system/host.ts";
import type { ApplyContext } from "./kind.ts";
import { markPending, RELOAD_MARKER } from "./units.ts";

/** Looks at a path without following a link that stands there. */
export async function seeFile(files: Files, path: string): Promise<SeenFile> {
  const stat = await files.stat(path);
  const isFile = stat.state === "found" && stat.value.type === "file";
  return { stat, content: isFile ? await files.read(path) : ABSENT };
}

/** Whether a step changes a managed file, so that {@link changeFile} executes it and not its kind. */
export function isManagedFileAction(action: unknown): action is ManagedFileAction {
  const op = typeof action === "object" && action !== null && "op" in action ? action.op : undefined;
  return op === "write-file" || op === "restore-file";
}

/** Executes such a step. For a unit file it notes that systemd has to read its unit files again; the kind sees to that. */
export async function changeFile(action: ManagedFileAction, context: ApplyContext): Promise<void> {
  const { path } = action;
  const { files } = context.host;
  if (path.startsWith(`${UNIT_FOLDER}/`)) await markPending(files, RELOAD_MARKER);
  if (action.op === "write-file") {
    if (action.content === null) {
      throw new JijiError("remote", `${path} needs something that is not there, although it was made just now`, {
        hint: "something removes it; run the command again",
      });
    }
    return writeManaged(context, path, action.content.reveal(), action.owner);
  }
  const before = context.before(path);
  if (before !== undefined) await restoreBefore(files, path, before);
  await context.forget(path);
}

/** Writes a file; what stood there, and which folders were not there, is remembered first. */
export async function writeManaged(
  context: ApplyContext,
  path: string,
  content: string,
  owner: FileOwner,
): Promise<void> {
  await rememberFile(context, path);
  await context.host.files.write(path, content, owner);
}

/** Remembers the state of a path before its first change, and `more` with it. Throws when it cannot be looked at. */
export async function rememberFile(context: ApplyContext, path: string, more: object = {}): Promise<void> {
  if (context.before(path) !== undefined) return;
  await context.remember(path, { ...(await stateBefore(context.host.files, path)), ...more });
}

/** What the manifest has to know of a path before it is changed for the first time. Throws when it cannot be looked at. */
export async function stateBefore(files: Files, path: string): Promise<FileBefore> {
  const madeFolders: string[] = [];
  for (let folder = dirname(path); folder !== "/"; folder = dirname(folder)) {
    if (known(await files.stat(folder), folder) !== undefined) break;
    madeFolders.unshift(folder);
  }
  const seen = await seeFile(files, path);
  const stat = known(seen.stat, path);
  if (stat === undefined) return { file: null, madeFolders };
  if (stat.type === "link") return { file: { link: stat.target ?? "" }, madeFolders };
  const content = known(seen.content, path);
  if (content === undefined) {
    throw new JijiError("conflict", `${path} is there already and is not a file`, {
      hint: "move it away, then run the command again",
    });
  }
  const { mode, owner, group } = stat;
  return { file: { content, mode, owner, group }, madeFolders };
}

/** Puts back what the manifest says stood there, and removes the folders that were made for it when they are empty. */
export async function restoreBefore(files: Files, path: string, before: unknown): Promise<void> {
  const { file, madeFolders } = fileBeforeSchema.parse(before);
  if (file === null) await files.remove(path);
  else if ("link" in file) await files.link(path, file.link);
  else await files.write(path, file.content, file);
  for (const folder of madeFolders.toReversed()) {
    const names = known(await files.list(folder), folder);
    if (names !== undefined && names.length > 0) break;
    if (names !== undefined) await files.remove(folder);
  }
}
