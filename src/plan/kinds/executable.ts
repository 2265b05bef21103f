import { JijiError } from "../../model/errors.ts";
import type { Sha256 } from "../../model/keys.ts";
import { PATHS } from "../../model/paths.ts";
import { known, type Reading } from "../../model/reading.ts";
import { UNITS } from "../../model/units.ts";
import { isOlderVersion } from "../../model/version.ts";
import type { FileStat } from "../../system/host.ts";
import type { NodeGoal } from "../goal.ts";
import type { Manifest } from "../manifest.ts";
import { stepsOf, type Step } from "../step.ts";

export const EXECUTABLE_KIND = "executable";

/** A program that is uploaded. */
export interface DesiredExecutable {
  readonly path: string;
  readonly version: string;
  readonly sha256: Sha256;
  readonly restarts: readonly string[];
}

export interface ExecutableObserved {
  /** SHA-256 of what stands at a path */
  readonly hashes: ReadonlyMap<string, Reading<string>>;
  readonly stats: ReadonlyMap<string, Reading<FileStat>>;
  /** what the installed jiji calls itself; absent when there is none or it is the desired one by content */
  readonly installedVersion: Reading<string>;
}

export type ExecutableAction =
  | { readonly op: "install"; readonly path: string; readonly sha256: Sha256 }
  | { readonly op: "link"; readonly path: string; readonly to: string }
  | { readonly op: "remove"; readonly path: string };

const step = stepsOf<ExecutableAction>(EXECUTABLE_KIND);

const MODE = 0o755;

/** `/opt/jiji/dns/jiji-dns` is the same program under another name. */
const DNS_LINK = { path: PATHS.dnsExecutable, to: "../bin/jiji" } as const;

export function desiredExecutables(goal: NodeGoal): readonly DesiredExecutable[] {
  if (goal.phase !== "join") return [];
  const { jiji, corrosion } = goal.spec.release;
  const store = goal.spec.store.kind === "corrosion" ? [] : [UNITS.store];
  const programs: DesiredExecutable[] = [
    { path: PATHS.executable, ...jiji, restarts: [UNITS.agent, UNITS.dns, ...store] },
  ];
  if (goal.spec.store.kind === "corrosion" && corrosion !== undefined) {
    programs.push({ path: PATHS.corrosionExecutable, ...corrosion, restarts: [UNITS.corrosion] });
  }
  return programs;
}

/** Installs what is not there by content. Throws when a newer jiji is there: setup never takes a server back. */
export function planExecutable(
  goal: NodeGoal,
  observed: ExecutableObserved,
  manifest: Manifest,
): readonly Step<ExecutableAction>[] {
  if (goal.phase === "prepare") return [];
  const programs = desiredExecutables(goal);
  const wanted = new Set<string>(goal.phase === "join" ? [...programs.map(({ path }) => path), DNS_LINK.path] : []);
  const steps: Step<ExecutableAction>[] = manifest.entries
    .filter(({ kind, target }) => kind === EXECUTABLE_KIND && !wanted.has(target))
    .map(({ target: path }) => step("remove", path, `remove ${path}`, { op: "remove", path }));
  for (const program of programs) steps.push(...planProgram(program, observed));
  if (goal.phase === "join" && !isLinked(observed)) {
    steps.push(step("create", DNS_LINK.path, `link ${DNS_LINK.path} to ${DNS_LINK.to}`, { op: "link", ...DNS_LINK }));
  }
  return steps;
}

function planProgram(program: DesiredExecutable, observed: ExecutableObserved): readonly Step<ExecutableAction>[] {
  const { path, version, sha256, restarts } = program;
  const hash = known(observed.hashes.get(path) ?? { state: "absent" }, path);
  const stat = known(observed.stats.get(path) ?? { state: "absent" }, path);
  if (hash === sha256 && stat?.type === "file" && stat.mode === MODE && stat.owner === "root") return [];
  if (path === PATHS.executable && hash !== sha256) refuseDowngrade(observed.installedVersion, version);
  const verb = hash === undefined ? "install" : "change";
  const name = path === PATHS.executable ? "jiji" : "Corrosion";
  const summary = `${hash === undefined ? "install" : "replace"} ${path} (${name} ${version})`;
  return [step(verb, path, summary, { op: "install", path, sha256 }, { restarts })];
}

function refuseDowngrade(installed: Reading<string>, wanted: string): void {
  if (installed.state !== "found" || !isOlderVersion(wanted, installed.value)) return;
  throw new JijiError("conflict", `this server has jiji ${installed.value}, which is newer than ${wanted}`, {
    hint: `use jiji ${installed.value} or newer`,
  });
}

function isLinked({ stats }: ExecutableObserved): boolean {
  const stat = known(stats.get(DNS_LINK.path) ?? { state: "absent" }, DNS_LINK.path);
  return stat?.type === "link" && stat.target === DNS_LINK.to;
}
