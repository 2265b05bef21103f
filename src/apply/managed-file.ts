import { dirname } from "node:path";
import { JijiError } from "../model/errors.ts";
import { ABSENT } from "../model/reading.ts";
import { fileBeforeSchema, type DesiredFile, type FileBefore, type SeenFile } from "../plan/managed-file.ts";
import type { Files, Host } from "../system/host.ts";
import type { ApplyContext } from "./kind.ts";

/** Looks at a path without following a link that stands there. */
export async function seeFile(files: Files, path: string): Promise<SeenFile> {
  const stat = await files.stat(path);
  const isFile = stat.state === "found" && stat.value.type === "file";
  return { stat, content: isFile ? await files.read(path) : ABSENT };
}

/** Writes the file; what stood there, and which folders were not there, is remembered first. */
export async function writeManaged(context: ApplyContext, desired: DesiredFile): Promise<void> {
  const { path, content, mode, owner, group } = desired;
  if (content === null) throw new Error(`the content of ${path} is not known yet`);
  const { files } = context.host;
  await context.remember(path, await stateBefore(files, path));
  await files.write(path, content, {
    mode,
    ...(owner === undefined ? {} : { owner }),
    ...(group === undefined ? {} : { group }),
  });
}

/** What the manifest has to know of a path before it is changed for the first time. */
export async function stateBefore(files: Files, path: string): Promise<FileBefore> {
  const madeFolders: string[] = [];
  for (let folder = dirname(path); folder !== "/"; folder = dirname(folder)) {
    if ((await files.stat(folder)).state !== "absent") break;
    madeFolders.unshift(folder);
  }
  const seen = await seeFile(files, path);
  if (seen.stat.state === "absent") return { file: null, madeFolders };
  if (seen.stat.state === "found" && seen.stat.value.type === "link") {
    return { file: { link: seen.stat.value.target ?? "" }, madeFolders };
  }
  if (seen.stat.state !== "found" || seen.content.state !== "found") {
    const why =
      seen.stat.state === "unknown" ? seen.stat.why : seen.content.state === "unknown" ? seen.content.why : "";
    throw new JijiError("conflict", `${path} is there already and cannot be kept for teardown: ${why}`, {
      hint: "move it away, then run the command again",
    });
  }
  const { mode, owner, group } = seen.stat.value;
  return { file: { content: seen.content.value, mode, owner, group }, madeFolders };
}

/** Puts back what the manifest says stood there, and removes the folders that were made for it when they are empty. */
export async function restoreManaged(host: Host, path: string, before: unknown): Promise<void> {
  const { file, madeFolders } = fileBeforeSchema.parse(before);
  if (file === null) await host.files.remove(path);
  else if ("link" in file) await host.files.link(path, file.link);
  else await host.files.write(path, file.content, file);
  for (const folder of madeFolders.toReversed()) {
    const names = await host.files.list(folder);
    if (names.state === "unknown" || (names.state === "found" && names.value.length > 0)) break;
    if (names.state === "found") await host.files.remove(folder);
  }
}
