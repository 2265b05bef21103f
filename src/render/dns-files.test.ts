import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "smol-toml";
import { expectGolden } from "../../test/golden.ts";
import { PATHS } from "../model/paths.ts";
import { containersConf } from "./containers-conf.ts";
import { daemonJson, withLiveRestore } from "./daemon-json.ts";

const OURS = { servers: ["10.210.0.1"], searches: ["jiji", "example.com"] };
const NOTHING = { servers: null, searches: null };

test("golden files, where there was nothing", () => {
  expectGolden(PATHS.dockerDaemon, daemonJson.write(null, { servers: ["10.210.0.1"], searches: ["jiji"] }) ?? "");
  expectGolden(PATHS.containersConf, containersConf.write(null, { servers: ["10.210.0.1"], searches: ["jiji"] }) ?? "");
});

describe("daemon.json", () => {
  test("keeps the other keys, their order, and the indentation", () => {
    const before = '{\n    "log-driver": "journald",\n    "dns": ["1.1.1.1"],\n    "mtu": 1400\n}\n';
    expect(daemonJson.write(before, OURS)).toBe(
      [
        "{",
        '    "log-driver": "journald",',
        '    "dns": [',
        '        "10.210.0.1"',
        "    ],",
        '    "mtu": 1400,',
        '    "dns-search": [',
        '        "jiji",',
        '        "example.com"',
        "    ]",
        "}",
        "",
      ].join("\n"),
    );
  });

  test("one line stays one line, and no final newline stays none", () => {
    expect(daemonJson.write('{"debug":true}', { servers: ["10.210.0.1"], searches: null })).toBe(
      '{"debug":true,"dns":["10.210.0.1"]}',
    );
  });

  test.each(["[]", "{", "null", '"x"'])("%p is malformed", (text) => {
    expect(daemonJson.read(text)).toBeUndefined();
    expect(daemonJson.write(text, OURS)).toBeUndefined();
  });

  test("settings of another form are malformed too", () => {
    expect(daemonJson.read('{"dns": "1.1.1.1"}')).toBeUndefined();
    expect(daemonJson.read('{"dns": [1]}')).toBeUndefined();
  });

  test("an empty file is an empty object, as Docker takes it", () => {
    expect(daemonJson.read("")).toEqual(NOTHING);
    expect(daemonJson.read(daemonJson.write("\n", OURS) ?? "")).toEqual(OURS);
  });

  test("live-restore can be lent", () => {
    expect(withLiveRestore(null, true)).toBe('{\n  "live-restore": true\n}\n');
    expect(JSON.parse(withLiveRestore('{"dns":["1.1.1.1"]}', false) ?? "")).toEqual({
      dns: ["1.1.1.1"],
      "live-restore": false,
    });
    expect(withLiveRestore("{", true)).toBeUndefined();
  });
});

describe("containers.conf", () => {
  const before = [
    "# kept by the administrator",
    "[engine]",
    'runtime = "runc" # not crun',
    "",
    "[containers]",
    "pids_limit = 0",
    "dns_servers = [",
    '  "1.1.1.1", # [ours]',
    '  "8.8.8.8",',
    "]",
    "# the end",
    "",
  ].join("\n");

  test("keeps comments, other keys and their places", () => {
    expect(containersConf.write(before, OURS)).toBe(
      [
        "# kept by the administrator",
        "[engine]",
        'runtime = "runc" # not crun',
        "",
        "[containers]",
        "pids_limit = 0",
        'dns_servers = ["10.210.0.1"]',
        'dns_searches = ["jiji", "example.com"]',
        "# the end",
        "",
        "[network]",
        'dns_servers = ["10.210.0.1"]',
        'dns_searches = ["jiji", "example.com"]',
        "",
      ].join("\n"),
    );
  });

  test("takes only its own keys out again", () => {
    const edited = containersConf.write(before, OURS) ?? "";
    expect(containersConf.read(edited)).toEqual(OURS);
    const left = containersConf.write(edited, NOTHING) ?? "";
    expect(containersConf.read(left)).toEqual(NOTHING);
    expect(parse(left)).toEqual({ engine: { runtime: "runc" }, containers: { pids_limit: 0 }, network: {} });
    expect(left).toContain("# kept by the administrator");
  });

  test.each([
    ["a key at the root", 'containers.dns_servers = ["1.1.1.1"]\n'],
    ["an inline table", 'containers = { dns_servers = ["1.1.1.1"] }\n'],
  ])("%s is not edited by guesswork", (_, text) => expect(containersConf.write(text, OURS)).toBeUndefined());

  test.each(["[containers", "a = ", "[containers]\ndns_servers = 5\n"])("%p is malformed", (text) => {
    expect(containersConf.read(text)).toBeUndefined();
  });

  test("a header in a string is no header", () => {
    const text = '[engine]\nenv = ["""\n[containers]\n"""]\n';
    const edited = containersConf.write(text, OURS);
    if (edited !== undefined) expect(parse(edited)).toMatchObject({ engine: { env: ["[containers]\n"] } });
  });
});

test.each([
  ["daemon.json", daemonJson],
  ["containers.conf", containersConf],
] as const)("%s: what is written is read again, and writing it twice changes nothing", (_, format) => {
  const domain = fc.stringMatching(/^[a-z0-9]{1,8}(\.[a-z]{2,5}){0,2}$/);
  const keys = fc.record({
    servers: fc.option(fc.array(fc.ipV4(), { maxLength: 3 })),
    searches: fc.option(fc.array(domain, { maxLength: 3 })),
  });
  fc.assert(
    fc.property(keys, keys, (first, second) => {
      const once = format.write(null, first) ?? "";
      const then = format.write(once, second) ?? "";
      expect(format.read(then)).toEqual(second);
      expect(format.write(then, second)).toBe(then);
    }),
  );
});
