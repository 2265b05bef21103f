import type { ShownStep } from "../../model/node/apply.ts";
import type { Colors } from "../output.ts";

/** What is going to happen on one server. */
export interface ServerPlan {
  readonly name: string;
  /** e.g. 10.210.0.1 */
  readonly address: string;
  /** "new, number 0", "member", … */
  readonly role: string;
  readonly steps: readonly ShownStep[];
}

const SIGNS: Readonly<Record<string, string>> = {
  install: "+",
  create: "+",
  start: "+",
  enable: "+",
  restore: "+",
  change: "~",
  restart: "~",
  remove: "-",
  stop: "-",
  disable: "-",
};

/**
 * The plan for people: each server with its steps. Servers with the same steps stand together. `withDetails` adds what
 * changes in each file.
 */
export function renderPlan(plans: readonly ServerPlan[], colors: Colors, withDetails: boolean): string {
  const groups = new Map<string, ServerPlan[]>();
  for (const plan of plans) {
    const key = JSON.stringify(
      plan.steps.map(({ verb, summary, details }) => [verb, summary, withDetails ? details : 0]),
    );
    groups.set(key, [...(groups.get(key) ?? []), plan]);
  }
  return [...groups.values()].map((group) => renderGroup(group, colors, withDetails)).join("\n\n");
}

function renderGroup(group: readonly ServerPlan[], colors: Colors, withDetails: boolean): string {
  const steps = group[0]?.steps ?? [];
  const width = Math.max(...group.map(({ name }) => name.length));
  const heads = group.map(({ name, address, role }) => `${colors.bold(name.padEnd(width))}  ${address}  ${role}`);
  if (steps.length === 0) return [...heads, colors.dim("  nothing to do")].join("\n");
  const lines = steps.flatMap(({ verb, summary, details }) => [
    `  ${paint(SIGNS[verb] ?? "·", colors)} ${summary}`,
    ...(withDetails ? (details ?? []).map((line) => colors.dim(`      ${line}`)) : []),
  ]);
  return [...heads, ...lines].join("\n");
}

function paint(sign: string, colors: Colors): string {
  if (sign === "+") return colors.green(sign);
  if (sign === "-") return colors.red(sign);
  return colors.yellow(sign);
}

/** "3 servers, 57 steps". */
export function countPlan(plans: readonly ServerPlan[]): string {
  const busy = plans.filter(({ steps }) => steps.length > 0);
  const steps = busy.reduce((sum, plan) => sum + plan.steps.length, 0);
  return `${steps === 1 ? "1 step" : `${steps} steps`} on ${busy.length === 1 ? "1 server" : `${busy.length} servers`}`;
}
