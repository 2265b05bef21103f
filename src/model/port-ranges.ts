/** From and to, both included. */
export type PortRange = readonly [first: number, last: number];

/**
 * Reads a list as net.ipv4.ip_local_reserved_ports has it: `8080,31280-31282`, or nothing. Undefined for anything else.
 */
export function parsePortRanges(text: string): readonly PortRange[] | undefined {
  const ranges: PortRange[] = [];
  for (const part of text.trim().split(",")) {
    if (part === "" && text.trim() === "") break;
    const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(part);
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (first > last || last > 65535) return undefined;
    ranges.push([first, last]);
  }
  return normal(ranges);
}

/** The inverse of {@link parsePortRanges}: in order, without overlap. */
export function formatPortRanges(ranges: readonly PortRange[]): string {
  return normal(ranges)
    .map(([first, last]) => (first === last ? String(first) : `${first}-${last}`))
    .join(",");
}

/** Single ports, in order; neighbours are one range. */
export function rangesOfPorts(ports: readonly number[]): readonly PortRange[] {
  return normal(ports.map((port) => [port, port]));
}

/** All ports of both. */
export function unitePortRanges(a: readonly PortRange[], b: readonly PortRange[]): readonly PortRange[] {
  return normal([...a, ...b]);
}

/** The ports of `from` that are not in `taken`. */
export function subtractPortRanges(from: readonly PortRange[], taken: readonly PortRange[]): readonly PortRange[] {
  let rest = normal(from);
  for (const [first, last] of taken) {
    rest = rest.flatMap(([a, b]): PortRange[] => {
      if (b < first || a > last) return [[a, b]];
      const pieces: PortRange[] = [
        [a, first - 1],
        [last + 1, b],
      ];
      return pieces.filter(([x, y]) => x <= y);
    });
  }
  return rest;
}

/** In order; those that overlap or touch are one. */
function normal(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: [number, number][] = [];
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const previous = merged.at(-1);
    if (previous !== undefined && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else merged.push([first, last]);
  }
  return merged;
}
