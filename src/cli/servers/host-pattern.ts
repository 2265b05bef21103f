import type { ServerConfig } from "../../config/deploy-config.ts";
import { nearest } from "../../config/nearest.ts";
import { JijiError } from "../../model/errors.ts";
import { showText } from "../../model/shown-text.ts";

/**
 * Servers whose name (or host) one of the patterns matches: `*` any characters, `?` one, several with commas between.
 * Throws a usage error for a pattern that matches none, since a typing error must not mean "nothing to do".
 */
export function selectServers(servers: readonly ServerConfig[], patterns: readonly string[]): readonly ServerConfig[] {
  if (patterns.length === 0) return servers;
  const chosen = new Set<ServerConfig>();
  for (const pattern of patterns.flatMap((text) => text.split(",")).map((text) => text.trim())) {
    const expression = new RegExp(`^${pattern.split("").map(toExpression).join("")}$`, "i");
    const matching = servers.filter(({ name, host }) => expression.test(name) || expression.test(host));
    if (pattern === "" || matching.length === 0) throw noMatch(pattern, servers);
    for (const server of matching) chosen.add(server);
  }
  return servers.filter((server) => chosen.has(server));
}

function toExpression(character: string): string {
  if (character === "*") return ".*";
  if (character === "?") return ".";
  return character.replace(/[\\^$.*+?()[\]{}|/-]/, "\\$&");
}

function noMatch(pattern: string, servers: readonly ServerConfig[]): JijiError {
  const names = servers.map(({ name }) => name);
  const meant = nearest(pattern, names);
  return new JijiError("usage", `no server of the file matches --hosts ${showText(pattern)}`, {
    hint: meant === undefined ? `its servers: ${names.join(", ")}` : `did you mean ${meant}?`,
  });
}
