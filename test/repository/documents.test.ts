import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** What the documents say of the repository is so. */
const repository = join(import.meta.dir, "..", "..");
const documents = ["*.md", "docs/**/*.md"]
  .flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(repository)])
  .toSorted();

function read(path: string): string {
  return readFileSync(join(repository, path), "utf8");
}

interface PackageFile {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const packageFile = JSON.parse(read("package.json")) as PackageFile;

/** As GitHub makes them: lower case, spaces to hyphens, other signs away. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

describe.each(documents)("%s", (document) => {
  const text = read(document);

  test("its links lead somewhere", () => {
    const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !/^https?:/.test(target))
      .filter((target) => {
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? document : relative(repository, join(repository, dirname(document), path));
        if (!existsSync(join(repository, file))) return true;
        return anchor !== undefined && !anchorsOf(read(file)).includes(anchor);
      });
    expect(broken).toEqual([]);
  });

  test("files of the repository that it names are there", () => {
    const named = [...text.matchAll(/`((?:src|tools|lab|bench|test|scripts|docs)(?:\/[\w.@-]+)*)\/?`/g)].map(
      ([, path = ""]) => path,
    );
    // X stands for a name
    const missing = named.filter((path) => !/\bX\b/.test(path) && !existsSync(join(repository, path)));
    expect(missing).toEqual([]);
  });

  test("npm scripts that it names are there", () => {
    const named = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name = ""]) => name);
    expect(named.filter((name) => packageFile.scripts[name] === undefined)).toEqual([]);
  });
});

test("docs/dependencies.md has a line for every package, and none for a package that is not there", () => {
  const listed = [...read("docs/dependencies.md").matchAll(/^\| (`[^|]+`) \|/gm)]
    .flatMap(([, cell = ""]) => [...cell.matchAll(/`([^`]+)`/g)])
    .map(([, name = ""]) => name);
  const used = [...Object.keys(packageFile.dependencies), ...Object.keys(packageFile.devDependencies)];
  expect(listed.toSorted()).toEqual(used.toSorted());
});

test("docs/architecture.md has a line for every folder of src", () => {
  const listed = [...read("docs/architecture.md").matchAll(/^\| `src\/(\w+)` \|/gm)].map(([, name = ""]) => name);
  expect(listed.toSorted()).toEqual(readdirSync(join(repository, "src")).toSorted());
});

test("docs/adr/README.md lists every decision", () => {
  const files = readdirSync(join(repository, "docs/adr")).filter((name) => name !== "README.md");
  const listed = [...read("docs/adr/README.md").matchAll(/\]\((\d{4}-[\w-]+\.md)\)/g)].map(([, name = ""]) => name);
  expect(listed).toEqual(files.toSorted());
});
