import { randomBytes } from "node:crypto";
import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import { parseReading, type Reading } from "../../model/reading.ts";
import { Secret } from "../../model/secret.ts";
import type { Step } from "../../plan/step.ts";
import { planToken, TOKEN_KIND, type TokenObserved, type TokenAction } from "../../plan/kinds/token.ts";
import type { Files, Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { writeManaged } from "../managed-file.ts";

/** Bearer tokens of the store: readable by root and the store's user, and by nobody else. */
export const tokenKind: ResourceKind<TokenObserved, TokenAction> = {
  kind: TOKEN_KIND,
  observe,
  plan: planToken,
  execute,
};

async function observe({ files }: Host): Promise<TokenObserved> {
  return {
    corrosion: await loadToken(files, PATHS.corrosionToken),
    embedded: await loadToken(files, PATHS.embeddedStoreToken),
  };
}

/** A token as it stands in its file, alone on its line; anything else in the file is unknown. */
export async function loadToken(files: Files, path: string): Promise<Reading<Secret>> {
  return parseReading(await files.read(path), (text) => parseToken(text.trim()), `${path} does not hold a token`);
}

/** Reads a token from a text of any origin; undefined for anything else. */
export function parseToken(text: string): Secret | undefined {
  return /^[0-9A-Za-z_-]{32,128}$/.test(text) ? new Secret(text) : undefined;
}

async function execute({ action }: Step<TokenAction>, context: ApplyContext): Promise<void> {
  const token = action.op === "generate" ? randomBytes(32).toString("hex") : action.token?.reveal();
  if (token === undefined) {
    throw new JijiError("conflict", "the embedded store's token was not brought along", {
      hint: "run setup for the server that holds the store as well",
    });
  }
  await writeManaged(context, action.path, `${token}\n`, { mode: 0o640, group: "jiji-corrosion" });
}
