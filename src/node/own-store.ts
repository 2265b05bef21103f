import { loadToken } from "../apply/kinds/token.ts";
import { JijiError } from "../model/errors.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import type { Secret } from "../model/secret.ts";
import { UNITS } from "../model/units.ts";
import { storeOf } from "../render/agent-settings.ts";
import type { StoreHealth } from "../model/store-figures.ts";
import { askHealth } from "../store/ask-health.ts";
import { openStoreClient } from "../store/client.ts";
import { parseStoreUrl, type StoreUrl } from "../store/store-url.ts";
import type { StoreClient } from "../store/store.ts";
import type { Files } from "../system/host.ts";

/** A store of this server's own. */
export interface OwnStore {
  readonly kind: "corrosion" | "embedded";
  /** its database */
  readonly path: string;
  readonly unit: string;
}

/** This server's store, or the number of the member that holds the mesh's only one. */
export function findOwnStore({ store, subnet }: NodeSpec): OwnStore | { readonly holder: number } {
  if (store.kind === "corrosion") return { kind: "corrosion", path: PATHS.corrosionDatabase, unit: UNITS.corrosion };
  if (store.holder !== subnet) return { holder: store.holder };
  return { kind: "embedded", path: PATHS.embeddedStoreDatabase, unit: UNITS.store };
}

/**
 * Why the store's file cannot be read; undefined when it can. SQLite needs the log and its index beside the file, and a
 * store that stops in good order removes both.
 */
export async function whyNotReadable(
  files: Files,
  store: Pick<OwnStore, "path" | "unit">,
): Promise<string | undefined> {
  const [file, log] = [await files.stat(store.path), await files.stat(`${store.path}-wal`)];
  if (file.state === "absent") return `the store has no file yet (${store.path})`;
  if (file.state === "unknown") return file.why;
  if (log.state === "absent") {
    return `${store.unit} does not run: it was stopped in good order, and its file cannot be read beside it then`;
  }
  return undefined;
}

/** Where this server's store is asked, with its own token. Throws a {@link JijiError} when the token cannot be read. */
async function ownStoreAddress(files: Files, spec: NodeSpec): Promise<{ url: StoreUrl; token: Secret }> {
  const { url, tokenFile } = storeOf(spec);
  const token = await loadToken(files, tokenFile);
  const parsed = parseStoreUrl(url);
  if (token.state === "found" && parsed !== undefined) return { url: parsed, token: token.value };
  const why = token.state === "unknown" ? token.why : `${tokenFile} is not there`;
  throw new JijiError("remote", why, { hint: "run jiji network setup again: it puts back what is missing" });
}

/** Opens this server's store. Throws a {@link JijiError} when its token cannot be read. */
export async function openOwnStore(files: Files, spec: NodeSpec): Promise<StoreClient> {
  return openStoreClient(await ownStoreAddress(files, spec));
}

/** What this server's store says of its health; undefined when it says nothing. */
export async function askOwnHealth(files: Files, spec: NodeSpec): Promise<StoreHealth | undefined> {
  try {
    const { url, token } = await ownStoreAddress(files, spec);
    return await askHealth(url, token);
  } catch {
    return undefined;
  }
}
