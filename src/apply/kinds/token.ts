import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import { unknown, type Reading } from "../../model/reading.ts";
import { Secret } from "../../model/secret.ts";
import { manifestEntry } from "../../plan/manifest.ts";
import type { Step } from "../../plan/step.ts";
import { planTokens, TOKEN_KIND, type ObservedTokens, type TokenAction } from "../../plan/kinds/token.ts";
import type { Files, Host } from "../../system/host.ts";
import { generateToken } from "../generate-keys.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { restoreManaged, writeManaged } from "../managed-file.ts";

/** Bearer tokens of the store: readable by root and the store's user, and by nobody else. */
export const tokenKind: ResourceKind<ObservedTokens, TokenAction> = {
  kind: TOKEN_KIND,
  observe,
  plan: planTokens,
  execute,
};

async function observe({ files }: Host): Promise<ObservedTokens> {
  return {
    corrosion: await readToken(files, PATHS.corrosionToken),
    embedded: await readToken(files, PATHS.embeddedStoreToken),
  };
}

/** A token as it stands in its file, alone on its line; anything else in the file is unknown. */
export async function readToken(files: Files, path: string): Promise<Reading<Secret>> {
  const text = await files.read(path);
  if (text.state !== "found") return text;
  const token = parseToken(text.value.trim());
  return token === undefined ? unknown(`${path} does not hold a token`) : { state: "found", value: token };
}

/** Reads a token from a text of any origin; undefined for anything else. */
export function parseToken(text: string): Secret | undefined {
  return /^[0-9A-Za-z_-]{32,128}$/.test(text) ? new Secret(text) : undefined;
}

async function execute({ action }: Step<TokenAction>, context: ApplyContext): Promise<void> {
  const { goal, host } = context;
  const { path } = action;
  if (action.op === "restore") {
    const entry = manifestEntry(context.manifest(), TOKEN_KIND, path);
    if (entry !== undefined) await restoreManaged(host, path, entry.before);
    await context.forget(path);
    return;
  }
  const token = action.op === "generate" ? generateToken() : goal.phase === "join" ? goal.storeToken : undefined;
  if (token === undefined) {
    throw new JijiError("conflict", "the embedded store's token was not brought along", {
      hint: "run setup for the server that holds the store as well",
    });
  }
  const content = `${token.reveal()}\n`;
  await writeManaged(context, { path, content, mode: 0o640, group: "jiji-corrosion", isSecret: true });
}
