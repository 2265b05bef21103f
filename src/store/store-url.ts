import type { Brand } from "../model/brand.ts";

/** Where a store listens: `http://HOST:PORT` (Corrosion, the embedded store) or `unix:/path` (the agent's relay). */
export type StoreUrl = Brand<string, "StoreUrl">;

/** The same in parts. */
export type StoreAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

const HTTP = /^http:\/\/(?:\[([0-9a-fA-F:.]+)\]|([0-9a-zA-Z.-]+)):([1-9][0-9]{0,4})\/?$/;

/** Longest path that fits sun_path (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;

/** Reads a store's address; undefined for anything but the two forms (no user, path or query; the port is required). */
export function parseStoreUrl(text: string): StoreUrl | undefined {
  return splitStoreUrl(text) === undefined ? undefined : (text as StoreUrl);
}

/** The parts of a {@link StoreUrl}. */
export function storeAddress(url: StoreUrl): StoreAddress {
  const address = splitStoreUrl(url);
  if (address === undefined) throw new TypeError(`not a store's address: ${url}`);
  return address;
}

function splitStoreUrl(text: string): StoreAddress | undefined {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    const fits = Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES;
    return path.startsWith("/") && path.length > 1 && fits && !path.includes("\0") ? { kind: "unix", path } : undefined;
  }
  const [, v6, name, port] = HTTP.exec(text) ?? [];
  const host = v6 ?? name;
  if (host === undefined || Number(port) > 65_535) return undefined;
  return { kind: "tcp", host, port: Number(port) };
}

/** The {@link StoreUrl} of parts that are known to be right (a socket that listens). */
export function formatStoreUrl(address: StoreAddress): StoreUrl {
  if (address.kind === "unix") return `unix:${address.path}` as StoreUrl;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `http://${host}:${address.port}` as StoreUrl;
}
