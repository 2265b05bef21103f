import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { deployJsonSchema } from "./schema.ts";
import { parseDeployConfig } from "./parse-deploy-config.ts";
import { formatConfigProblem } from "./problem.ts";

function problems(text: string): string[] {
  const parsed = parseDeployConfig(text);
  return parsed.ok ? [] : parsed.problems.map((problem) => formatConfigProblem("f", problem));
}

function accept(text: string) {
  const parsed = parseDeployConfig(text);
  if (!parsed.ok) throw new Error(parsed.problems.map((problem) => formatConfigProblem("f", problem)).join("\n"));
  return parsed.config;
}

const minimal = "project: shop\nservers:\n  web1: { host: web1.example.com }\n";

describe("what is accepted", () => {
  // dns-contract: ttl-60
  test("the smallest file, with every default", () => {
    const config = accept(minimal);
    expect(config).toMatchObject({
      project: "shop",
      ssh: { privateKeys: [], keysOnly: false, config: "own", timeoutMs: 30_000 },
      servers: [{ name: "web1", host: "web1.example.com", endpoints: [], nat: false }],
      network: {
        enabled: true,
        clusterCidr: "10.210.0.0/16",
        store: { kind: "corrosion" },
        dns: { ttlSeconds: 60, localFirst: false, upstreams: [] },
        mtuBytes: 1420,
      },
    });
    expect(config.servers[0]?.at).toEqual({ host: { line: 3, column: 17 }, endpoint: { line: 3, column: 3 } });
  });

  test("every key", () => {
    const config = accept(`
project: myapp
builder: { engine: docker, local: true, registry: { type: local } }
ssh:
  user: deploy
  port: 2022
  private_keys: [~/.ssh/deploy]
  keys_only: true
  proxy: user@bastion:2222, second
  config: [~/.ssh/config, ./ssh]
  timeout: 5000
servers:
  web1: { host: 192.0.2.9, endpoint: "[2001:db8::9]:31820", user: root, port: 22, arch: amd64, engine: podman }
  home:
    host: 192.0.2.7
    endpoint: [203.0.113.9:31820, vpn.example.com]
    nat: true
network:
  enabled: false
  cluster_cidr: "10.0.0.0/8"
  store: { embedded: web1 }
  dns: { ttl: 5, local_first: true, upstreams: [192.0.2.53, "[2001:db8::53]:5353"] }
  mtu: 1380
services: { web: { image: x } }
environment: { clear: {} }
secrets: [A]
secrets_path: .env
`);
    expect(config.ssh).toEqual({
      privateKeys: ["~/.ssh/deploy"],
      keysOnly: true,
      proxy: "user@bastion:2222,second" as never,
      proxyCommand: undefined,
      config: ["~/.ssh/config", "./ssh"],
      timeoutMs: 5000,
    });
    expect(config.servers).toMatchObject([
      {
        name: "web1",
        user: "root",
        port: 22,
        arch: "x64",
        engine: "podman",
        endpoints: [{ host: "2001:db8::9", port: 31820 }],
      },
      {
        name: "home",
        user: "deploy",
        port: 2022,
        engine: "docker",
        nat: true,
        endpoints: [
          { host: "203.0.113.9", port: 31820 },
          { host: "vpn.example.com", port: undefined },
        ],
      },
    ]);
    expect(config.network).toEqual({
      enabled: false,
      clusterCidr: "10.0.0.0/8" as never,
      store: { kind: "embedded", holder: "web1" as never },
      dns: { ttlSeconds: 5, localFirst: true, upstreams: ["192.0.2.53:53", "[2001:db8::53]:5353"] as never },
      mtuBytes: 1380,
    });
  });

  test("sections without anything in them, anchors and merge keys", () => {
    accept(`project: a\nssh:\nnetwork:\nbuilder:\nservers:\n  a: &all { host: x }\n  b: { <<: *all, host: y }\n`);
  });

  test("keys of the earlier program for ssh", () => {
    const config = accept(
      `${minimal}ssh: { key_path: ~/.ssh/a, keys: [~/.ssh/b], options: { X: y }, connect_timeout: 3, log_level: error }\n`,
    );
    expect(config.ssh.privateKeys).toEqual(["~/.ssh/b", "~/.ssh/a"]);
  });
});

describe("what is refused, with place and advice", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["an empty file", "", "f:1:1: the file is empty"],
    ["a list", "- a\n", "f:1:1: the file is not a map of keys and values"],
    ["wrong YAML", "project: [a\n", "f:2:1: not valid YAML: "],
    ["a tab as indentation", "project: a\nservers:\n\tweb1: {}\n", "f:3:1: not valid YAML: "],
    ["a key twice", `${minimal}project: b\n`, "f:4:1: this key stands twice in the same map"],
    ["two documents", `${minimal}---\n${minimal}`, "f:4:1: not valid YAML: "],
    ["an unknown tag", "project: !!js/function x\nservers: { a: { host: b } }\n", "f:1:10: not valid YAML: "],
    ["no project", "servers: { a: { host: b } }\n", "f:1:1: project is missing"],
    ["no servers", "project: a\n", "f:1:1: servers is missing"],
    ["servers without a server", "project: a\nservers: {}\n", "f:2:1: the file names no server"],
    ["a server without host", "project: a\nservers:\n  b:\n", "f:3:3: servers.b.host is missing"],
    [
      "a number for a name",
      "project: 5\nservers: { a: { host: b } }\n",
      "f:1:10: project: expected text, found 5; put it in quotes",
    ],
    [
      "a host with an option in it",
      "project: a\nservers: { a: { host: -oProxyCommand=x } }\n",
      'f:2:23: servers.a.host: "-oProxyCommand=x" cannot be a host',
    ],
    [
      "a host with a port",
      "project: a\nservers: { a: { host: 'b:22' } }\n",
      'f:2:23: servers.a.host: "b:22" holds a port: write host: b and port: 22',
    ],
    ["a user with an option in it", `${minimal}ssh: { user: -l }\n`, 'f:4:14: ssh.user: "-l" cannot be a user'],
    [
      "a hop with an option in it",
      `${minimal}ssh: { proxy: "a,-oX=y" }\n`,
      'f:4:15: ssh.proxy: "a,-oX=y" is not a jump host',
    ],
    [
      "an engine",
      `${minimal}builder: { engine: dockr }\n`,
      'f:4:20: builder.engine: expected one of docker, podman, found "dockr"; did you mean docker?',
    ],
    ["an endpoint", "project: a\nservers: { a: { host: b, endpoint: 'x:99999' } }\n", "f:2:36: servers.a.endpoint: "],
    [
      "a resolver that is a name",
      `${minimal}network: { dns: { upstreams: [dns.example.com] } }\n`,
      'f:4:31: network.dns.upstreams.0: "dns.example.com" is not a resolver',
    ],
    ["a negative ttl", `${minimal}network: { dns: { ttl: -1 } }\n`, "f:4:24: network.dns.ttl: must be at least 0"],
    [
      "an mtu that cannot carry Corrosion",
      `${minimal}network: { mtu: 500 }\n`,
      "f:4:17: network.mtu: must be at least 1280",
    ],
    [
      "no network",
      `${minimal}network: { cluster_cidr: hello }\n`,
      'f:4:26: network.cluster_cidr: "hello" is not an IPv4 network',
    ],
    [
      "host bits",
      `${minimal}network: { cluster_cidr: 10.210.1.0/16 }\n`,
      'f:4:26: network.cluster_cidr: "10.210.1.0/16" names an address inside the network: did you mean "10.210.0.0/16"?',
    ],
    [
      "a prefix that is too long",
      `${minimal}network: { cluster_cidr: 10.210.0.0/25 }\n`,
      'f:4:26: network.cluster_cidr: "10.210.0.0/25" has prefix /25',
    ],
    [
      "a prefix that is too short",
      `${minimal}network: { cluster_cidr: 10.0.0.0/7 }\n`,
      'f:4:26: network.cluster_cidr: "10.0.0.0/7" has prefix /7',
    ],
    [
      "loopback",
      `${minimal}network: { cluster_cidr: 127.0.0.0/16 }\n`,
      "f:4:26: 127.0.0.0/16 lies in 127.0.0.0/8, which is for loopback",
    ],
    [
      "multicast",
      `${minimal}network: { cluster_cidr: 239.1.0.0/16 }\n`,
      "f:4:26: 239.1.0.0/16 lies in 224.0.0.0/3, which is for multicast",
    ],
    [
      "a store that is nobody",
      `${minimal}network: { store: { embedded: wbe1 } }\n`,
      'f:4:31: store.embedded names "wbe1", which is not a server of this file\n  hint: did you mean "web1"?',
    ],
    [
      "a domain",
      `${minimal}network: { service_domain: jiji }\n`,
      "f:4:12: unknown key network.service_domain\n  hint: the domain is always jiji; remove this line",
    ],
    [
      "a mistyped key at the top",
      `${minimal}netwrok: {}\n`,
      'f:4:1: unknown key netwrok\n  hint: did you mean "network"?',
    ],
    [
      "a key with hyphens",
      `${minimal}network: { cluster-cidr: 10.0.0.0/8 }\n`,
      'f:4:12: unknown key network.cluster-cidr\n  hint: did you mean "cluster_cidr"?',
    ],
    [
      "a key unlike any other",
      `${minimal}network: { store: { file: x } }\n`,
      "f:4:19: network.store: give `corrosion`",
    ],
    [
      "a server behind a proxy",
      `${minimal}ssh: { proxy: bastion }\n`,
      'f:3:3: server "web1" is reached through a proxy',
    ],
    [
      "two proxies",
      `${minimal}ssh: { proxy: bastion, proxy_command: x }\n`,
      "f:4:24: give ssh.proxy or ssh.proxy_command, not both",
    ],
    [
      "a name that is no label",
      "project: a\nservers: { Web_1: { host: b } }\n",
      'f:2:12: server name "Web_1" is not a DNS label',
    ],
    [
      "one endpoint for two",
      "project: a\nservers:\n  a: { host: x, endpoint: 1.2.3.4 }\n  b: { host: y, endpoint: 1.2.3.4 }\n",
      'f:4:27: endpoint 1.2.3.4 is already an endpoint of server "a"',
    ],
    [
      "a path that could leave its line",
      `${minimal}ssh: { config: "a\\nProxyCommand x" }\n`,
      "f:4:16: ssh.config: a path may not hold quotes, backslashes or control characters",
    ],
  ];
  for (const [name, text, expected] of cases) {
    test(name, () => expect(`\n${problems(text).join("\n")}`).toContain(`\n${expected}`));
  }

  test("aliases that would grow without end", () => {
    const lines = Array.from({ length: 20 }, (_, n) => `x${n}: &x${n} [${n === 0 ? "a" : `*x${n - 1},*x${n - 1}`}]`);
    expect(problems(`${minimal}services:\n  ${lines.join("\n  ")}\n`).join()).toContain("not valid YAML");
  });

  test("all of them at once, in the order of their places", () => {
    const places = problems(
      "project: A\nservers:\n  a: { host: b, nta: true }\n  b: { host: b, port: x }\nfoo: 1\n",
    ).map((line) => line.slice(0, line.indexOf(": ")));
    expect(places).toEqual(["f:1:10", "f:3:17", "f:4:23", "f:5:1"]);
  });
});

test("whatever text comes, it is read or refused, never thrown, and places lie inside it", () => {
  const word = fc.constantFrom(
    "project",
    "servers",
    "host",
    ":",
    " ",
    "\n",
    "  ",
    "- ",
    "{",
    "}",
    "a",
    "&a",
    "*a",
    '"',
    "<<",
    "null",
    "|",
    "#",
    "!",
    "\t",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(word, { maxLength: 40 }).map((words) => words.join("")),
      ),
      (text) => {
        const parsed = parseDeployConfig(text);
        if (parsed.ok) return true;
        return (
          parsed.problems.length > 0 &&
          parsed.problems.every(({ at }) => at === undefined || (at.line >= 1 && at.column >= 1))
        );
      },
    ),
    { numRuns: 300 },
  );
});

test("the JSON Schema is made from the same source and names every key", () => {
  const schema = deployJsonSchema() as { properties: Record<string, unknown>; required: string[] };
  expect(Object.keys(schema.properties)).toEqual(
    expect.arrayContaining(["project", "builder", "ssh", "servers", "network", "services"]),
  );
  expect(schema.required).toEqual(["project", "servers"]);
  expect(JSON.stringify(schema)).toContain("10.210.0.0/16");
});
