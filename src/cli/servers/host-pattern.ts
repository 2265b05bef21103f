import type { ServerConfig } from "../../config/deploy-config.ts";
import { nearest } from "../../config/nearest.ts";
import { JijiError } from "../../model/errors.ts";
import { showText } from "../../model/shown-text.ts";

/**
 * Servers whose name (or host) one of the patterns matches: `*` any characters, `?` one, several with commas between.
 * Throws a usage error for a pattern that matches none: a typing error must not mean "nothing to do".
 */
export function selectServers(servers: readonly ServerConfig[], patterns: readonly string[]): readonly ServerConfig[] {
  if (patterns.length === 0) return servers;
  const chosen = new Set<ServerConfig>();
  for (const pattern of patterns.flatMap((text) => text.split(",")).map((text) => text.trim())) {
    const expression = new RegExp(`^${pattern.split("").map(toExpression).join("")}$`, "i");
    const matching = servers.filter(({ name, host }) => expression.test(name) || expression.test(host));
    if (pattern === "" || matching.length === 0) throw noMatch("--hosts", pattern, servers);
    for (const server of matching) chosen.add(server);
  }
  return servers.filter((server) => chosen.has(server));
}

function toExpression(character: string): string {
  if (character === "*") return ".*";
  if (character === "?") return ".";
  return character.replace(/[\\^$.*+?()[\]{}|/-]/, "\\$&");
}

/** The one server that an option names, by name or host. Throws a usage error that says which there are. */
export function selectServer(servers: readonly ServerConfig[], option: string, text: string): ServerConfig {
  const [server, ...more] = servers.filter(({ name, host }) => name === text || host === text);
  if (server !== undefined && more.length === 0) return server;
  throw noMatch(option, text, servers);
}

function noMatch(option: string, text: string, servers: readonly ServerConfig[]): JijiError {
  const names = servers.map(({ name }) => name);
  const meant = nearest(text, names);
  return new JijiError("usage", `no server of the file matches ${option} ${showText(text)}`, {
    hint: meant === undefined ? `its servers: ${names.join(", ")}` : `did you mean ${meant}?`,
  });
}
