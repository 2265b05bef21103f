import { JijiError } from "../model/errors.ts";
import { splitHostPort } from "../model/address.ts";
import { startEmbeddedStore, type EmbeddedStore } from "../store/embedded/embedded.ts";
import { systemClock } from "../system/clock.ts";
import { loadTokenFile } from "./service-files.ts";

export interface StoreServeOptions {
  readonly listen: string;
  readonly db: string;
  readonly tokenFile?: string;
}

/**
 * Starts the embedded store and prints its address as one line of JSON when it is ready (`{"url": "http://…"}`), so that
 * port 0 can be used. Throws a {@link JijiError} for options that cannot be used.
 */
export async function startStoreService(options: StoreServeOptions): Promise<EmbeddedStore> {
  const listen = splitListen(options.listen);
  const token = options.tokenFile === undefined ? undefined : loadTokenFile(options.tokenFile);
  const store = await startEmbeddedStore({ listen, databasePath: options.db, clock: systemClock, token });
  process.stdout.write(`${JSON.stringify({ url: store.url })}\n`);
  return store;
}

/** Like an endpoint, but port 0 takes a free one. */
function splitListen(text: string): { readonly host: string; readonly port: number } {
  const anyPort = /^(.+):0$/.exec(text);
  const parts = anyPort?.[1] === undefined ? splitHostPort(text) : { host: anyPort[1], port: 0 };
  if (parts !== undefined) return parts;
  throw new JijiError("usage", `--listen ${text}: not ADDRESS:PORT`, { hint: "for example --listen 127.0.0.1:31282" });
}
