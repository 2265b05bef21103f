import { readMembers } from "../apply/members-file.ts";
import { readToken } from "../apply/kinds/token.ts";
import { verifiedMembers } from "../model/membership.ts";
import { JijiError } from "../model/errors.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { UNITS } from "../model/units.ts";
import { storeOf } from "../render/agent-settings.ts";
import type { StoreHealth } from "../model/store-figures.ts";
import { askHealth } from "../store/ask-health.ts";
import { openStoreClient } from "../store/client.ts";
import { parseStoreUrl } from "../store/store-url.ts";
import type { StoreClient } from "../store/store.ts";
import type { Files } from "../system/host.ts";
import { readSpec } from "./observe.ts";

/** Where this server's store is. */
export type OwnStore =
  | { readonly at: "here"; readonly kind: "corrosion" | "embedded"; readonly path: string; readonly unit: string }
  /** another member holds the mesh's only one */
  | { readonly at: "elsewhere"; readonly holder: number; readonly name: string | null };

/** The spec that this server was given last. Throws a {@link JijiError} when there is none, or it cannot be read. */
export async function requireSpec(files: Files): Promise<NodeSpec> {
  const spec = await readSpec(files);
  if (spec.state === "found") return spec.value;
  const why = spec.state === "absent" ? "it is not set up" : spec.why;
  throw new JijiError("remote", why, { hint: "run jiji network setup first" });
}

/** Which file is this server's store, if it has one. */
export async function findOwnStore(files: Files, spec: NodeSpec): Promise<OwnStore> {
  const { store, subnet } = spec;
  if (store.kind === "corrosion") {
    return { at: "here", kind: "corrosion", path: PATHS.corrosionDatabase, unit: UNITS.corrosion };
  }
  if (store.holder === subnet) {
    return { at: "here", kind: "embedded", path: PATHS.embeddedStoreDatabase, unit: UNITS.store };
  }
  const members = await readMembers(files);
  const known = members.state === "found" ? verifiedMembers(members.value) : [];
  const name = known.find((member) => member.subnet === store.holder)?.name ?? null;
  return { at: "elsewhere", holder: store.holder, name };
}

/**
 * Why the store's file cannot be read although it is there or was: SQLite needs the log and its index beside the file, which
 * a store that ends in good order takes away with it.
 */
export async function whyNotReadable(files: Files, store: { path: string; unit: string }): Promise<string | undefined> {
  const [file, log] = [await files.stat(store.path), await files.stat(`${store.path}-wal`)];
  if (file.state === "absent") return `the store has no file yet (${store.path})`;
  if (file.state === "unknown") return file.why;
  if (log.state === "absent") {
    return `${store.unit} does not run: it was stopped in good order, and its file cannot be read beside it then`;
  }
  return undefined;
}

/** A client with this server's own token. Throws a {@link JijiError} when the token cannot be read. */
export async function openOwnStore(files: Files, spec: NodeSpec): Promise<StoreClient> {
  const { url, tokenFile } = storeOf(spec);
  const token = await readToken(files, tokenFile);
  const parsed = parseStoreUrl(url);
  if (token.state === "found" && parsed !== undefined) return openStoreClient({ url: parsed, token: token.value });
  const why = token.state === "unknown" ? token.why : `${tokenFile} is not there`;
  throw new JijiError("remote", why, { hint: "run jiji network setup again: it puts back what is missing" });
}

/** The store's health with this server's own token; undefined when it says nothing. */
export async function askOwnHealth(files: Files, spec: NodeSpec): Promise<StoreHealth | undefined> {
  const { url, tokenFile } = storeOf(spec);
  const token = await readToken(files, tokenFile);
  const parsed = parseStoreUrl(url);
  return token.state === "found" && parsed !== undefined ? askHealth(parsed, token.value) : undefined;
}
