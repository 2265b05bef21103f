/** The filter table of iptables, as iptables-save prints it. */
export interface FilterTable {
  /** built-in chains and their policies */
  readonly policies: ReadonlyMap<string, string>;
  /** each chain's rules in order, without counters, as `-A CHAIN …` */
  readonly rules: ReadonlyMap<string, readonly string[]>;
}

/** Reads what `iptables-save -t filter` prints; with no such table, nothing. */
export function parseFilterTable(text: string): FilterTable {
  const policies = new Map<string, string>();
  const rules = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const chain = /^:(\S+) (\S+)/.exec(line);
    if (chain !== null) {
      const [, name = "", policy = "-"] = chain;
      rules.set(name, []);
      if (policy !== "-") policies.set(name, policy);
      continue;
    }
    const rule = /^(?:\[[0-9]+:[0-9]+\] )?(-A (\S+) .*)$/.exec(line);
    if (rule !== null) rules.get(rule[2] ?? "")?.push((rule[1] ?? "").trimEnd());
  }
  return { policies, rules };
}

/** Where a rule goes: the chain or verdict after -j or -g. */
export function targetOf(rule: string): string | undefined {
  return / (?:-j|-g) (\S+)/.exec(rule)?.[1];
}

/** Whether a rule may drop a packet: by its own verdict, or in a chain that it calls. `own` chains never do. */
function ruleMayDrop(table: FilterTable, rule: string, own: ReadonlySet<string>, seen: Set<string>): boolean {
  const target = targetOf(rule);
  if (target === undefined || own.has(target)) return false;
  if (target === "DROP" || target === "REJECT") return true;
  if (seen.has(target)) return false;
  seen.add(target);
  return (table.rules.get(target) ?? []).some((next) => ruleMayDrop(table, next, own, seen));
}

/** Whether a packet that passes a built-in chain may be dropped there, by its policy or any rule. */
export function chainMayDrop(table: FilterTable, chain: string, own: ReadonlySet<string>): boolean {
  if (table.policies.get(chain) === "DROP") return true;
  return (table.rules.get(chain) ?? []).some((rule) => ruleMayDrop(table, rule, own, new Set()));
}

/** How a call of our own chain stands in somebody else's. */
export interface HookState {
  /** positions of all calls, counted from 1 */
  readonly positions: readonly number[];
  /** exactly one, and nothing before it may drop */
  readonly isRight: boolean;
}

/** Where `from` calls `to`. */
export function hookState(table: FilterTable, from: string, to: string, own: ReadonlySet<string>): HookState {
  const rules = table.rules.get(from) ?? [];
  const call = `-A ${from} -j ${to}`;
  const positions = rules.flatMap((rule, index) => (rule === call ? [index + 1] : []));
  const [first] = positions;
  const isFree =
    first !== undefined && !rules.slice(0, first - 1).some((rule) => ruleMayDrop(table, rule, own, new Set()));
  return { positions, isRight: positions.length === 1 && isFree };
}
