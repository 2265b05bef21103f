import { z } from "zod";
import { JijiError } from "../../model/errors.ts";
import type { NodeGoal } from "../goal.ts";
import type { Manifest } from "../manifest.ts";
import { stepsOf, type Step } from "../step.ts";

export const PACKAGE_KIND = "package";

export type PackageManager = "apt" | "dnf" | "zypper";

/** A program that jiji needs, and the package that brings it; it is called the same with apt, dnf and zypper. */
export const NEEDED_PROGRAMS = [
  { program: "wg", package: "wireguard-tools" },
  { program: "nft", package: "nftables" },
] as const;

/** Keeps Debian's maintainer scripts from starting services; there only while a package is installed. */
export const POLICY = "/usr/sbin/policy-rc.d";

/** How the manifest says that a package was not there. */
export const packageBeforeSchema = z.object({ manager: z.enum(["apt", "dnf", "zypper"]) });

export interface PackageObserved {
  /** packages whose program is not there */
  readonly missing: readonly string[];
  readonly manager: PackageManager | undefined;
}

export type PackageAction =
  | { readonly op: "install"; readonly manager: PackageManager; readonly packages: readonly string[] }
  | { readonly op: "remove"; readonly manager: PackageManager; readonly packages: readonly string[] }
  | { readonly op: "remove-policy" };

const step = stepsOf<PackageAction>(PACKAGE_KIND);

/** One step that installs all that is missing; at teardown one that removes what was installed for jiji. */
export function planPackage(
  goal: NodeGoal,
  observed: PackageObserved,
  manifest: Manifest,
): readonly Step<PackageAction>[] {
  const entries = manifest.entries.filter(({ kind }) => kind === PACKAGE_KIND);
  const steps: Step<PackageAction>[] = [];
  if (entries.some(({ target }) => target === POLICY)) {
    steps.push(step("remove", POLICY, `remove ${POLICY}, which an interrupted setup left`, { op: "remove-policy" }));
  }
  if (goal.phase === "teardown") {
    const recorded = entries.filter(({ target }) => target !== POLICY);
    const [first] = recorded;
    if (first === undefined) return steps;
    const { manager } = packageBeforeSchema.parse(first.before);
    const packages = recorded.map(({ target }) => target);
    const summary = `remove ${packages.join(", ")} with ${manager}, which setup installed`;
    return [...steps, step("remove", packages.join(" "), summary, { op: "remove", manager, packages })];
  }
  const { missing: packages, manager } = observed;
  if (packages.length === 0) return steps;
  if (manager === undefined) {
    throw new JijiError("conflict", `${packages.join(" and ")} is not installed, and there is no apt, dnf or zypper`, {
      hint: `install ${packages.join(" and ")} by hand, then run the command again`,
    });
  }
  const summary = `install ${packages.join(", ")} with ${manager}`;
  return [...steps, step("install", packages.join(" "), summary, { op: "install", manager, packages })];
}
