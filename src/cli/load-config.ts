import { dirname, isAbsolute, join, resolve } from "node:path";
import type { DeployConfig } from "../config/deploy-config.ts";
import { parseDeployConfig } from "../config/parse-deploy-config.ts";
import { formatConfigProblem, type ConfigProblem } from "../config/problem.ts";
import { JijiError } from "../model/errors.ts";
import { showText } from "../model/shown-text.ts";
import type { SshSettings } from "../system/ssh-config-text.ts";
import { localFileExists, localOwner, readLocalFile } from "../system/local-files.ts";
import type { CliContext } from "./context.ts";

export interface LoadedConfig {
  /** absolute */
  readonly path: string;
  /** as it is shown: relative to the working folder when it lies below it */
  readonly shownPath: string;
  readonly config: DeployConfig;
}

export interface ConfigChoice {
  /** `-c` */
  readonly file?: string | undefined;
  /** `-e` */
  readonly environment?: string | undefined;
  /** `--trust-config`: programs that the file names may be run */
  readonly trustConfig: boolean;
}

/** Finds, reads and checks deploy.yml. Throws a JijiError of kind config whose message lists every problem by line. */
export function loadConfig(context: CliContext, choice: ConfigChoice): LoadedConfig {
  const path = locate(context, choice);
  const shownPath = path.startsWith(`${context.cwd}/`) ? path.slice(context.cwd.length + 1) : path;
  const reading = readLocalFile(path);
  if (reading.state === "absent") {
    throw new JijiError("config", `${shownPath} does not exist`, { hint: "give the path of a deploy.yml with -c" });
  }
  if (reading.state === "unknown") {
    throw new JijiError("config", `${shownPath} cannot be read: ${reading.why}`, {
      hint: "check the permissions of the file",
    });
  }
  const parsed = parseDeployConfig(decode(reading.value, shownPath));
  if (!parsed.ok) throw configErrors(shownPath, parsed.problems);
  return { path, shownPath, config: parsed.config };
}

function decode(content: Buffer, shownPath: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    throw new JijiError("config", `${shownPath}: the file is not UTF-8 text`, { hint: "save it as UTF-8" });
  }
}

/** Problems of deploy.yml as one error: a line for each. */
export function configErrors(shownPath: string, problems: readonly ConfigProblem[]): JijiError {
  const lines = problems.map((problem) =>
    formatConfigProblem(showText(shownPath), {
      ...problem,
      message: showText(problem.message),
      ...(problem.hint === undefined ? {} : { hint: showText(problem.hint) }),
    }),
  );
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return new JijiError("config", `${count} in ${showText(shownPath)}\n${lines.join("\n")}`);
}

function locate(context: CliContext, { file, environment }: ConfigChoice): string {
  if (file !== undefined && environment !== undefined) {
    throw new JijiError("usage", "give --config or --environment, not both");
  }
  if (file !== undefined) return resolve(context.cwd, expandHome(file, context.home));
  if (environment !== undefined && !isEnvironmentName(environment)) {
    throw new JijiError("usage", `"${showText(environment)}" is not the name of an environment`, {
      hint: "letters, digits, dots, underscores and hyphens",
    });
  }
  const candidates = configCandidates(context.cwd, environment);
  const path = candidates.find(localFileExists);
  if (path === undefined) {
    const name = environment === undefined ? "deploy.yml" : `jiji.${environment}.yml`;
    throw new JijiError("config", `no .jiji/${name} here or in any folder above`, {
      hint: `write one (docs/quick-start.md shows how), or give its path with -c`,
    });
  }
  refuseForeign(path, context);
  return path;
}

/**
 * Refuses a file that was found by searching and that others can write (in /tmp, on a shared disk): it decides which
 * programs and keys are used. The operator may name it.
 */
function refuseForeign(path: string, context: CliContext): void {
  const uid = process.getuid?.();
  if (uid === undefined) return;
  const trusted = new Set([uid, 0, ...(uid === 0 ? [Number(context.env["SUDO_UID"] ?? 0)] : [])]);
  // several distributions give each user a group without other members
  const ownGroups = new Set([process.getgid?.(), 0, ...(uid === 0 ? [Number(context.env["SUDO_GID"] ?? 0)] : [])]);
  for (const place of [path, dirname(path)]) {
    const owner = localOwner(place);
    if (owner === undefined) continue;
    const why = !trusted.has(owner.uid)
      ? `belongs to another user (${owner.uid})`
      : (owner.mode & 0o002) !== 0
        ? "can be written by every user"
        : (owner.mode & 0o020) !== 0 && !ownGroups.has(owner.gid)
          ? `can be written by another group (${owner.gid})`
          : undefined;
    if (why === undefined) continue;
    throw new JijiError("config", `${place} was found by searching upwards, but it ${why}`, {
      hint: `if you trust it, name it: -c ${path}`,
    });
  }
}

/** `~/x` becomes a path in the home folder; everything else stays. */
export function expandHome(path: string, home: string): string {
  return path === "~" ? home : path.startsWith("~/") ? join(home, path.slice(2)) : path;
}

/** How this file wants ssh to be called. Relative paths start at the folder that holds `.jiji`. */
export function sshSettings(loaded: LoadedConfig, context: CliContext): SshSettings {
  const { ssh } = loaded.config;
  const folder = dirname(loaded.path);
  const base = folder.endsWith("/.jiji") ? dirname(folder) : folder;
  const absolute = (path: string): string => {
    const expanded = expandHome(path, context.home);
    return isAbsolute(expanded) ? expanded : join(base, expanded);
  };
  const files = [
    ...ssh.privateKeys.map((path) => ["ssh.private_keys", absolute(path)] as const),
    ...(typeof ssh.config === "string" ? [] : ssh.config.map((path) => ["ssh.config", absolute(path)] as const)),
  ];
  const problems = files
    .filter(([, path]) => !localFileExists(path))
    .map(([key, path]): ConfigProblem => ({ at: undefined, message: `${key}: ${path} does not exist` }));
  if (problems.length > 0) throw configErrors(loaded.shownPath, problems);
  return {
    privateKeys: ssh.privateKeys.map(absolute),
    keysOnly: ssh.keysOnly,
    proxy: ssh.proxy,
    proxyCommand: ssh.proxyCommand,
    config: typeof ssh.config === "string" ? ssh.config : ssh.config.map(absolute),
    timeoutMs: ssh.timeoutMs,
  };
}

/** File names with a meaning: letters, digits, `.`, `_` and `-`, so that an environment cannot lead to another folder. */
const ENVIRONMENT = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;

/** Whether the text may be given as `--environment`. */
export function isEnvironmentName(text: string): boolean {
  return ENVIRONMENT.test(text);
}

/**
 * Where deploy.yml may be, best first: in the folder itself, then in each folder above it. In each, the folder `.jiji` is
 * looked at: `deploy.yml`, or `jiji.NAME.yml` when an environment is asked for. `folder` is absolute.
 */
export function configCandidates(folder: string, environment: string | undefined): string[] {
  const name = environment === undefined ? "deploy.yml" : `jiji.${environment}.yml`;
  const candidates: string[] = [];
  for (let current = folder; ; current = dirname(current)) {
    candidates.push(join(current, ".jiji", name));
    if (dirname(current) === current) return candidates;
  }
}
