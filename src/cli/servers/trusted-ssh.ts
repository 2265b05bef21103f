import { join } from "node:path";
import { z } from "zod";
import { JijiError } from "../../model/errors.ts";
import { sha256Of } from "../../model/keys.ts";
import { showText } from "../../model/shown-text.ts";
import type { Ssh } from "../../system/connection.ts";
import { readLocalFile, writeLocalFile } from "../../system/local-files.ts";
import type { SshSettings } from "../../system/ssh-config-text.ts";
import type { CliContext } from "../context.ts";
import { sshSettings, type LoadedConfig } from "../load-config.ts";

/** Something in deploy.yml that ssh would execute, or a file that may name programs for ssh to execute. */
interface NamedProgram {
  /** one line for people */
  readonly shown: string;
  /** changes whenever what is executed changes */
  readonly content: string;
}

const trustedSchema = z.object({ version: z.literal(1), hashes: z.array(z.string()) });

/**
 * Opens ssh as the file wants it. A proxy command, or an ssh configuration outside the places that only the operator or
 * root writes, can execute programs, and a cloned repository must not run any unasked. The operator is asked at the first
 * use, and the answer is kept for that content. Without a terminal it is refused unless `trustConfig`.
 */
export async function openTrustedSsh(context: CliContext, loaded: LoadedConfig, trustConfig: boolean): Promise<Ssh> {
  const settings = sshSettings(loaded, context);
  const named = namedPrograms(settings, context.home);
  if (named.length > 0 && !trustConfig) await askForTrust(context, loaded, named);
  return context.openSsh(settings);
}

function namedPrograms(settings: SshSettings, home: string): NamedProgram[] {
  const named: NamedProgram[] = [];
  if (settings.proxyCommand !== undefined) {
    named.push({ shown: `ssh.proxy_command runs: ${settings.proxyCommand}`, content: settings.proxyCommand });
  }
  if (typeof settings.config === "string") return named;
  for (const path of settings.config) {
    if (path.startsWith(join(home, ".ssh", "/")) || path.startsWith("/etc/ssh/")) continue;
    const reading = readLocalFile(path);
    const content = reading.state === "found" ? reading.value.toString("latin1") : "";
    named.push({ shown: `ssh.config reads: ${path}`, content: `${path}\n${content}` });
  }
  return named;
}

async function askForTrust(context: CliContext, loaded: LoadedConfig, named: readonly NamedProgram[]): Promise<void> {
  const store = join(context.env["XDG_CONFIG_HOME"] ?? join(context.home, ".config"), "jiji", "trusted.json");
  const hash = sha256Of(JSON.stringify(named.map(({ content }) => content)));
  const known = readTrusted(store);
  if (known.includes(hash)) return;
  const lines = named.map(({ shown }) => `  ${showText(shown)}\n`).join("");
  if (!context.canAsk) {
    throw new JijiError("conflict", `${loaded.shownPath} would run programs on this machine\n${lines.trimEnd()}`, {
      hint: "run it once at a terminal and agree, or give --trust-config",
    });
  }
  context.stderr.write(`${showText(loaded.shownPath)} can run programs on this machine:\n${lines}`);
  if (!(await context.ask("Do you trust it?"))) throw new JijiError("cancelled", "nothing was run");
  writeLocalFile(store, `${JSON.stringify({ version: 1, hashes: [...known, hash] }, null, 2)}\n`, 0o600);
}

function readTrusted(path: string): readonly string[] {
  const reading = readLocalFile(path);
  if (reading.state !== "found") return [];
  try {
    return trustedSchema.parse(JSON.parse(reading.value.toString("utf8"))).hashes;
  } catch {
    return [];
  }
}
