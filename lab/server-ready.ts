import { ToolError } from "../tools/errors.ts";
import { namespaceName, publicAddress } from "./namespaces.ts";
import { isAlive } from "./process-identity.ts";
import { run } from "../tools/run.ts";
import { execInServer } from "./server-exec.ts";
import { consoleLog } from "./server-power.ts";
import { loadServerState } from "./state.ts";
import { waitFor } from "./wait.ts";

/**
 * Waits until a server is up: systemd has finished starting, and sshd answers the operator unless the link is cut.
 * Resolves to systemd's word for it, `running` or `degraded: UNIT…`. Throws `ToolError` with the end of the console.
 */
export async function waitUntilUp(id: string, name: string, timeoutMs = 120_000): Promise<string> {
  const state = loadServerState(id, name);
  const lookAtPower = async () => {
    if (state.nspawn !== null && isAlive(state.nspawn)) return;
    const tail = (await Bun.file(consoleLog(id, name)).text()).trim().split("\n").slice(-15).join("\n");
    throw new Stopped(`${name} stopped while starting; its console said:\n${tail}`);
  };
  const condition = await waitForState(name, timeoutMs, lookAtPower, async () => {
    const argv = ["systemctl", "is-system-running", "--wait"];
    const result = await execInServer(id, name, argv, { timeoutMs });
    const word = result.stdout.trim();
    if (word !== "running" && word !== "degraded") throw new Error(word || result.stderr.trim());
    return word;
  });
  if (!state.cut) {
    const greeting = 'exec 3<>"/dev/tcp/$0/22" && read -r -t 5 -u 3 line && [[ $line == SSH-2.0-* ]]';
    const enter = ["ip", "netns", "exec", namespaceName(id, "operator")];
    await waitForState(name, timeoutMs, lookAtPower, async () => {
      const result = await run([...enter, "bash", "-c", greeting, publicAddress(state.octet)]);
      if (result.code !== 0) throw new Error(`no greeting from sshd: ${result.stderr.trim()}`);
      return true;
    });
  }
  if (condition === "running") return condition;
  const failed = await execInServer(id, name, ["systemctl", "list-units", "--failed", "--plain", "--no-legend"]);
  const units = failed.stdout.split("\n").map((line) => line.split(" ")[0]);
  return `degraded: ${units.join(" ").trim()}`;
}

class Stopped extends ToolError {}

/** `waitFor`, but a server that stops ends the waiting at once. */
async function waitForState<T>(
  name: string,
  timeoutMs: number,
  lookAtPower: () => Promise<void>,
  look: () => Promise<T>,
): Promise<T> {
  const outcome = await waitFor(
    async () => {
      try {
        await lookAtPower();
      } catch (error) {
        return { error };
      }
      return { value: await look() };
    },
    { timeoutMs, what: `${name} to be up`, intervalMs: 100 },
  );
  if ("error" in outcome) throw outcome.error;
  return outcome.value;
}
