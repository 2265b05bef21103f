/** A release: `1.2.3`, or `1.2.3-something` before it. */
export interface Version {
  readonly numbers: readonly [number, number, number];
  readonly preRelease: string;
}

/** Reads `1.2.3` or `1.2.3-rc.1`, a build tag (`+…`) left out; undefined for anything else. */
export function parseVersion(text: string): Version | undefined {
  const match = /^(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/.exec(text);
  if (match === null) return undefined;
  return { numbers: [Number(match[1]), Number(match[2]), Number(match[3])], preRelease: match[4] ?? "" };
}

/** Less than, equal to or greater than 0, as `a` is older than, equal to or newer than `b` (Semantic Versioning §11). */
export function compareVersions(a: Version, b: Version): number {
  for (const [index, number] of a.numbers.entries()) {
    const difference = number - (b.numbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  if (a.preRelease === "" || b.preRelease === "") return Number(a.preRelease === "") - Number(b.preRelease === "");
  return comparePreReleases(a.preRelease.split("."), b.preRelease.split("."));
}

function comparePreReleases(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const left = a[index];
    const right = b[index];
    if (left === undefined || right === undefined) return a.length - b.length;
    if (left === right) continue;
    const isNumeric = [left, right].map((part) => /^\d+$/.test(part));
    if (isNumeric[0] === true && isNumeric[1] === true) return Number(left) - Number(right);
    if (isNumeric[0] !== isNumeric[1]) return isNumeric[0] === true ? -1 : 1;
    return left < right ? -1 : 1;
  }
  return 0;
}
