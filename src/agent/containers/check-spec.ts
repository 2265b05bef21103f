/** A health check that a container's labels ask for, made by the agent against the container's own address only. */
export interface CheckSpec {
  readonly protocol: "tcp" | "http";
  readonly port: number;
  /** http only: begins with a slash, printable ASCII */
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** so many successes in a row make healthy, so many failures in a row unhealthy */
  readonly successes: number;
  readonly failures: number;
}

export const SHORTEST_INTERVAL_MS = 1_000;

const DEFAULTS = { intervalMs: 5_000, timeoutMs: 2_000, successes: 1, failures: 3 } as const;

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, "": 1_000 };

/**
 * Reads `jiji.check` (`tcp:PORT` or `http:PORT/PATH`) with `jiji.check.interval` and `.timeout` (`5s`, `500ms`, `1m`; at
 * least 1 s between two checks) and `jiji.check.healthy` and `.unhealthy` (1 to 20 results in a row). Undefined without the
 * label, and when it is malformed: that is a problem, and the container then counts as if it had none.
 */
export function parseCheck(labels: ReadonlyMap<string, string>, problems: string[]): CheckSpec | undefined {
  const text = labels.get("jiji.check");
  if (text === undefined) return undefined;
  const match = /^(?:(tcp):([0-9]{1,5})|(http):([0-9]{1,5})(\/[\x21-\x7e]{0,500})?)$/.exec(text);
  const port = Number(match?.[2] ?? match?.[4]);
  if (match === null || port < 1 || port > 65_535) {
    problems.push(`jiji.check ${JSON.stringify(text.slice(0, 100))} is neither tcp:PORT nor http:PORT/PATH: ignored`);
    return undefined;
  }
  const read = (key: string, parse: (value: string) => number | undefined, otherwise: number): number => {
    const value = labels.get(`jiji.check.${key}`);
    if (value === undefined) return otherwise;
    const parsed = parse(value);
    if (parsed === undefined) problems.push(`jiji.check.${key} ${JSON.stringify(value.slice(0, 40))} is ignored`);
    return parsed ?? otherwise;
  };
  return {
    protocol: match[1] === undefined ? "http" : "tcp",
    port,
    path: match[5] ?? "/",
    intervalMs: Math.max(
      SHORTEST_INTERVAL_MS,
      read("interval", (value) => parseDurationMs(value, 3_600_000), DEFAULTS.intervalMs),
    ),
    timeoutMs: read("timeout", (value) => parseDurationMs(value, 60_000), DEFAULTS.timeoutMs),
    successes: read("healthy", parseCount, DEFAULTS.successes),
    failures: read("unhealthy", parseCount, DEFAULTS.failures),
  };
}

function parseDurationMs(text: string, longestMs: number): number | undefined {
  const match = /^([0-9]{1,7})(ms|s|m|)$/.exec(text);
  if (match === null) return undefined;
  const ms = Number(match[1]) * (UNITS_MS[match[2] ?? ""] ?? 1);
  return ms >= 1 && ms <= longestMs ? ms : undefined;
}

function parseCount(text: string): number | undefined {
  return /^([1-9]|1[0-9]|20)$/.test(text) ? Number(text) : undefined;
}
