import type { ServerConfig } from "../../config/deploy-config.ts";
import { JijiError } from "../../model/errors.ts";
import type { Ssh } from "../../system/connection.ts";
import type { CliContext } from "../context.ts";
import { loadConfig, type ConfigChoice, type LoadedConfig } from "../load-config.ts";
import { selectServers } from "./host-pattern.ts";
import { openTrustedSsh } from "./trusted-ssh.ts";

/** Options that every command of `jiji network` has. */
export interface MeshOptions extends ConfigChoice {
  readonly hosts: readonly string[];
  readonly json: boolean;
}

/** The mesh of a deploy.yml while a command works on it. Nothing is connected yet. */
export interface Mesh {
  readonly context: CliContext;
  readonly loaded: LoadedConfig;
  /** the servers that `--hosts` selects; all without it */
  readonly servers: readonly ServerConfig[];
  readonly ssh: Ssh;
}

/**
 * Loads deploy.yml, opens ssh as the file wants it, and closes every connection after `work`. Throws a {@link JijiError}
 * when the file is wrong, no server matches, or the network is switched off and not `evenIfDisabled`.
 */
export async function withMesh<T>(
  context: CliContext,
  options: MeshOptions,
  work: (mesh: Mesh) => Promise<T>,
  { evenIfDisabled = false } = {},
): Promise<T> {
  const loaded = loadConfig(context, options);
  if (!evenIfDisabled && !loaded.config.network.enabled) throw disabled(loaded);
  const servers = selectServers(loaded.config.servers, options.hosts);
  const ssh = await openTrustedSsh(context, loaded, options.trustConfig);
  try {
    return await work({ context, loaded, servers, ssh });
  } finally {
    await ssh.close();
  }
}

function disabled({ shownPath }: LoadedConfig): JijiError {
  return new JijiError("conflict", `the network is switched off: network.enabled is false in ${shownPath}`, {
    hint: "set it to true, or take the network down with jiji network teardown",
  });
}
