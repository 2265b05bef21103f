import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { expectGolden } from "../../test/golden.ts";
import { sampleMember, sampleSpec } from "../../test/sample-spec.ts";
import { encodeNodeSpecFile, parseNodeSpecFile, type NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { Secret } from "../model/secret.ts";
import { UNITS, unitFile } from "../model/units.ts";
import { withoutBootstrap } from "../render/corrosion-config.ts";
import { renderSysusers } from "../render/system-files.ts";
import { desiredFiles } from "./desired-files.ts";
import { anyText } from "../../test/any-text.ts";

const token = new Secret("0123456789abcdef".repeat(4));
const members = [sampleMember("web1", 0), sampleMember("home", 1), sampleMember("db1", 12)];

function filesOf(spec: NodeSpec): ReadonlyMap<string, string> {
  const files = desiredFiles({ phase: "join", spec, members, expected: [] }, { corrosionToken: token });
  return new Map(files.map(({ path, content }) => [path, content ?? ""]));
}

describe("golden files", () => {
  const files = filesOf(sampleSpec());
  for (const [path, content] of files) test(path, () => expectGolden(path, content));

  test("the embedded store's unit, on its holder only", () => {
    const holder = filesOf(sampleSpec((json) => (json["store"] = { kind: "embedded", holder: 0 })));
    expectGolden(unitFile(UNITS.store), holder.get(unitFile(UNITS.store)) ?? "");
    expect([...holder.keys()].filter((path) => path.includes("corrosion"))).toEqual([]);
    const other = filesOf(sampleSpec((json) => (json["store"] = { kind: "embedded", holder: 1 })));
    expect(other.has(unitFile(UNITS.store))).toBe(false);
    expect(other.get(PATHS.agentSettings)).toContain("http://10.210.1.1:31282");
  });

  test(PATHS.sysusers, () => expectGolden(PATHS.sysusers, renderSysusers()));
});

test("only Corrosion's configuration holds the token", () => {
  for (const [path, content] of filesOf(sampleSpec())) {
    expect(content.includes(token.reveal())).toBe(path === PATHS.corrosionConfig);
  }
});

test("Corrosion is restarted for everything in its configuration but the others' addresses", () => {
  const config = (spec: NodeSpec, count: number): string => {
    const goal = { phase: "join" as const, spec, members: members.slice(0, count), expected: [] };
    const file = desiredFiles(goal, { corrosionToken: token }).find(({ path }) => path === PATHS.corrosionConfig);
    return withoutBootstrap(file?.content ?? "");
  };
  const other = sampleSpec((json) => (json["cluster"] = { cidr: "10.210.0.0/16", mtuBytes: 1380 }));
  expect(config(sampleSpec(), 3)).toBe(config(sampleSpec(), 1));
  expect(config(other, 3)).not.toBe(config(sampleSpec(), 3));
});

/** Every string of a spec, as a path of keys. */
function stringPaths(value: unknown, path: readonly string[] = []): readonly (readonly string[])[] {
  if (typeof value === "string") return [path];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => stringPaths(inner, [...path, key]));
}

function replaceAt(value: Record<string, unknown>, [key = "", ...rest]: readonly string[], text: string): void {
  if (rest.length === 0) value[key] = text;
  else replaceAt(value[key] as Record<string, unknown>, rest, text);
}

const hostile = fc.oneof(
  fc.string({ maxLength: 60 }),
  anyText({ maxLength: 30 }),
  fc.constantFrom(
    "x\nExecStart=/bin/sh",
    "10.210.0.0/16\n[Service]",
    "%i",
    "${IFS}",
    '"; DROP TABLE',
    "a\\\nb",
    "1.2.3.4:5 x",
  ),
);

test("whatever text stands in a spec, it is refused or leaves every line of every file as it was but for its own value", () => {
  const original = JSON.parse(encodeNodeSpecFile(sampleSpec())) as Record<string, unknown>;
  const golden = filesOf(sampleSpec());
  const keysOf = (text: string): string[] => text.split("\n").map((line) => line.replace(/[=:].*$/, ""));
  fc.assert(
    fc.property(fc.constantFrom(...stringPaths(original)), hostile, (path, text) => {
      const json = structuredClone(original);
      replaceAt(json, path, text);
      const spec = parseNodeSpecFile(JSON.stringify(json));
      if (spec === undefined) return;
      for (const [file, content] of filesOf(spec)) {
        expect(keysOf(content)).toEqual(keysOf(golden.get(file) ?? ""));
        if (file.startsWith("/etc/"))
          expect(content.includes(text) && !(golden.get(file) ?? "").includes(text)).toBe(false);
      }
    }),
    { numRuns: 500 },
  );
});

test("a spec that is written is read back the same, and its text is the same", () => {
  const spec = sampleSpec(
    (json) => (json["dns"] = { ttlSeconds: 5, localFirst: true, upstreams: ["[2001:db8::1]:53"] }),
  );
  expect(parseNodeSpecFile(encodeNodeSpecFile(spec))).toEqual(spec);
  const shuffled = Object.fromEntries(Object.entries(spec).toReversed()) as unknown as NodeSpec;
  expect(encodeNodeSpecFile(shuffled)).toBe(encodeNodeSpecFile(spec));
});
