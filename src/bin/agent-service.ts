import { mkdirSync, watch } from "node:fs";
import { loadSelf } from "../agent/load-self.ts";
import { openJournalLog } from "../agent/log.ts";
import { openPeers } from "../agent/mesh/peers.ts";
import { startAgent, type Agent } from "../agent/run.ts";
import { startStoreRelay } from "../agent/sockets/store-relay.ts";
import { openEngine } from "../engine/open.ts";
import { agentSettingsSchema } from "../model/agent-settings.ts";
import { JijiError } from "../model/errors.ts";
import { openStoreClient } from "../store/client.ts";
import { parseStoreUrl } from "../store/store-url.ts";
import { systemClock } from "../system/clock.ts";
import { systemFiles } from "../system/files.ts";
import { systemHost } from "../system/system-host.ts";
import { systemUdp } from "../system/udp.ts";
import { loadSettings, loadTokenFile } from "./service-files.ts";

/** The group that jiji-dns is in: it may use the agent's sockets. */
const SOCKET_GROUP = "jiji";

/**
 * Starts jiji-agent as a settings file says; SIGHUP says that the engine is about to be restarted. Throws a
 * {@link JijiError} when the file or what it names is not usable.
 */
export async function startAgentService(settingsPath: string): Promise<Agent> {
  const settings = loadSettings(settingsPath, agentSettingsSchema);
  const url = parseStoreUrl(settings.store.url);
  if (url === undefined) {
    throw new JijiError("config", `${settingsPath}: ${settings.store.url} is no address of a store`, {
      hint: "run jiji network setup for this server",
    });
  }
  const token = loadTokenFile(settings.store.tokenFile);
  const log = openJournalLog((text) => process.stderr.write(text));
  const self = await loadSelf(systemFiles);
  const agent = await startAgent(settings, self, {
    engine: openEngine(settings.engine.kind, settings.engine.socket),
    store: openStoreClient({ url, token }),
    files: systemFiles,
    clock: systemClock,
    udp: systemUdp,
    random: Math.random,
    log,
    peers: openPeers(systemHost, self.spec, log),
    watchFolder,
    isServerStopping,
    startRelay: () =>
      startStoreRelay({
        path: settings.sockets.store,
        files: systemFiles,
        group: SOCKET_GROUP,
        url,
        token,
        clock: systemClock,
        log,
      }),
  });
  process.on("SIGHUP", () => agent.releaseEngine());
  return agent;
}

/** systemctl(1): `stopping` from the moment that a shutdown or reboot has begun. */
async function isServerStopping(): Promise<boolean> {
  try {
    const state = await systemHost.programs.run(["systemctl", "is-system-running"], { timeoutMs: 2_500 });
    return state.stdout.trim() === "stopping";
  } catch {
    return false;
  }
}

function watchFolder(folder: string, onChange: () => void): { close(): void } {
  mkdirSync(folder, { recursive: true });
  return watch(folder, onChange);
}
