import { expect, test } from "bun:test";
import packageFile from "../../package.json";
import lockFile from "../../package-lock.json";

interface LockedPackage {
  readonly version?: string;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const locked: Readonly<Record<string, LockedPackage>> = lockFile.packages;

test("versions are exact", () => {
  const all = Object.entries({ ...packageFile.dependencies, ...packageFile.devDependencies, ...packageFile.overrides });
  expect(all.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});

/** A lock file that npm wrote beside an existing node_modules may hold this machine's platform alone. */
test("the lock file holds the packages of all platforms", () => {
  const missing = Object.entries(locked).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => locked[`node_modules/${name}`] === undefined && locked[`${path}/node_modules/${name}`] === undefined,
    ),
  );
  expect(missing).toEqual([]);
});
