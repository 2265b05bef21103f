import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { EngineChoice, ExecResult, Lab } from "./lab.ts";

/** How the lab's network is described to jiji; everything else is the defaults of deploy.yml. */
export interface DeployRequest {
  readonly project?: string;
  /** servers of the lab to name in the file; default: all of them */
  readonly servers?: readonly string[];
  /** per server: further keys of its entry */
  readonly entries?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly network?: Readonly<Record<string, unknown>>;
  readonly ssh?: Readonly<Record<string, unknown>>;
  /** folder of the operator that gets the file; default: the operator's home */
  readonly folder?: string;
}

/** Writes `.jiji/deploy.yml` for servers of the lab into a folder of the operator, and gives that folder. */
export function writeDeployFile(lab: Lab, request: DeployRequest = {}): string {
  const names = request.servers ?? lab.servers.map((server) => server.name);
  const engineOf = (name: string): EngineChoice => lab.servers.find((server) => server.name === name)?.engine ?? "none";
  const servers = Object.fromEntries(
    names.map((name) => {
      const engine = engineOf(name);
      const fixed = engine === "docker" || engine === "podman" ? { engine } : {};
      return [name, { host: name, ...fixed, ...request.entries?.[name] }];
    }),
  );
  const folder = request.folder ?? lab.operator.home;
  mkdirSync(join(folder, ".jiji"), { recursive: true });
  writeFileSync(
    join(folder, ".jiji", "deploy.yml"),
    stringify({
      project: request.project ?? "demo",
      ssh: { config: lab.operator.sshConfig, ...request.ssh },
      servers,
      ...(request.network === undefined ? {} : { network: request.network }),
    }),
  );
  return folder;
}

export interface JijiOptions {
  readonly folder?: string;
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Record<string, string>;
  readonly onStderr?: (chunk: string) => void;
  readonly onStdout?: (chunk: string) => void;
}

/** Runs the built executable, `dist/jiji`, in the operator's network namespace, as an operator would. */
export async function runJiji(lab: Lab, args: readonly string[], options: JijiOptions = {}): Promise<ExecResult> {
  const { folder, ...rest } = options;
  return lab.operatorExec([jijiExecutable(), ...args], {
    cwd: folder ?? lab.operator.home,
    timeoutMs: 180_000,
    ...rest,
  });
}

/** The CLI that `npm run build` makes. */
export function jijiExecutable(): string {
  return join(import.meta.dir, "..", "dist", "jiji");
}

/**
 * Throws with the whole output when a command did not end as expected; gives its result back otherwise.
 */
export function expectSuccess(result: ExecResult, what: string, codes: readonly number[] = [0]): ExecResult {
  if (codes.includes(result.code)) return result;
  throw new Error(`${what}: exit ${result.code}\n${result.stdout}\n${result.stderr}`);
}
