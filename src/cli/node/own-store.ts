import { readToken } from "../../apply/token-kind.ts";
import { JijiError } from "../../model/errors.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import { storeOf } from "../../render/agent-settings.ts";
import { openStoreClient } from "../../store/client.ts";
import { parseStoreUrl } from "../../store/store-url.ts";
import type { StoreClient } from "../../store/store.ts";
import type { Files } from "../../system/host.ts";
import { readSpec } from "./observe.ts";

/** The spec that this server was given last. Throws a {@link JijiError} when there is none, or it cannot be read. */
export async function requireSpec(files: Files): Promise<NodeSpec> {
  const spec = await readSpec(files);
  if (spec.state === "found") return spec.value;
  const why = spec.state === "absent" ? "it is not set up" : spec.why;
  throw new JijiError("remote", why, { hint: "run jiji network setup first" });
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
