import type { z } from "zod";
import { parseArch } from "../model/architecture.ts";
import { DEFAULT_CLUSTER } from "../model/cluster.ts";
import { parseDnsLabel } from "../model/names.ts";
import { crossCheck } from "./cross-checks.ts";
import { AUTO_MTU_BYTES, type DeployConfig, type ServerConfig, type SshConfig } from "./deploy-config.ts";
import { nearest } from "./nearest.ts";
import type { ConfigProblem } from "./problem.ts";
import { deploySchema, knownKeysAt, type WrittenConfig } from "./schema.ts";
import { parseYaml, type YamlDocument } from "./yaml-document.ts";

export type ParsedDeployConfig =
  | { readonly ok: true; readonly config: DeployConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/**
 * Reads the text of deploy.yml. Either the whole file is right, or all its problems are returned, sorted by position.
 * After a syntax error nothing else can be read with certainty, so then only syntax errors are returned.
 */
export function parseDeployConfig(text: string): ParsedDeployConfig {
  const yaml = parseYaml(text);
  if (!yaml.ok) return { ok: false, problems: yaml.problems };
  const { document } = yaml;
  if (typeof document.value !== "object" || document.value === null || Array.isArray(document.value)) {
    const message = document.value === null ? "the file is empty" : "the file is not a map of keys and values";
    const hint = "it begins with `project: NAME` and lists the servers under `servers:`";
    return { ok: false, problems: [{ at: { line: 1, column: 1 }, message, hint }] };
  }
  const value = withoutEmptyEntries(document.value as Record<string, unknown>);
  const shape = deploySchema.safeParse(value, { reportInput: true });
  const problems = [
    ...(shape.error?.issues ?? []).flatMap((issue) => problemsOfIssue(document, issue)),
    ...crossCheck(value).map(({ path, on, message, hint }): ConfigProblem => {
      const at = on === "key" ? document.keyPositionOf(path) : document.positionOf(path);
      return { at, message, ...(hint === undefined ? {} : { hint }) };
    }),
  ];
  if (shape.data !== undefined && Object.keys(shape.data.servers).length === 0) {
    problems.push({ at: document.keyPositionOf(["servers"]), message: "the file names no server" });
  }
  if (shape.data === undefined || problems.length > 0) return { ok: false, problems: problems.toSorted(byPlace) };
  return { ok: true, config: build(shape.data, document) };
}

function byPlace(a: ConfigProblem, b: ConfigProblem): number {
  return (a.at?.line ?? 0) - (b.at?.line ?? 0) || (a.at?.column ?? 0) - (b.at?.column ?? 0);
}

/** A key without a value (`ssh:`) counts as left out; under `servers` it is a server without keys. */
function withoutEmptyEntries(top: Record<string, unknown>): Record<string, unknown> {
  const drop = (value: unknown, depth: number): unknown => {
    if (depth === 0 || typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const entries = Object.entries(value).filter(([, inner]) => inner !== null);
    return Object.fromEntries(entries.map(([key, inner]) => [key, drop(inner, depth - 1)]));
  };
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(top)) {
    if (value === null) continue;
    if (key === "servers" && typeof value === "object" && !Array.isArray(value)) {
      const servers = Object.entries(value).map(([name, entry]) => [name, drop(entry ?? {}, 1)]);
      result[key] = Object.fromEntries(servers);
    } else {
      result[key] = drop(value, 2);
    }
  }
  return result;
}

type Issue = z.core.$ZodIssue;

function problemsOfIssue(document: YamlDocument, issue: Issue): ConfigProblem[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => unknownKeyProblem(document, issue.path, key));
  }
  const missing = issue.code === "invalid_type" && issue.input === undefined;
  const name = issue.path.map(String).join(".");
  if (missing) {
    const parent = issue.path.slice(0, -1);
    const at = parent.length === 0 ? { line: 1, column: 1 } : document.keyPositionOf(parent);
    return [{ at, message: `${name} is missing` }];
  }
  return [{ at: document.positionOf(issue.path), message: `${name}: ${mistake(issue)}` }];
}

/** What to write instead of keys that the earlier program had, or that are often tried. */
const ADVICE: Readonly<Record<string, string>> = {
  "network.service_domain": "the domain is always jiji; remove this line",
  "network.discovery": "network.store chooses where the records are kept; remove this line",
  "servers.*.hosts": "one server has one host",
};

function unknownKeyProblem(document: YamlDocument, path: readonly PropertyKey[], key: string): ConfigProblem {
  const meant = nearest(key, knownKeysAt(path));
  const where = [...path.map(String), key].join(".");
  const advice = ADVICE[where] ?? (meant === undefined ? undefined : `did you mean "${meant}"?`);
  return {
    at: document.keyPositionOf([...path, key]),
    message: `unknown key ${where}`,
    ...(advice === undefined ? listOfKeys(path) : { hint: advice }),
  };
}

function listOfKeys(path: readonly PropertyKey[]): { hint?: string } {
  const known = knownKeysAt(path);
  return known.length === 0 || known.length > 12 ? {} : { hint: `known here: ${known.join(", ")}` };
}

const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "a map of keys and values",
  record: "a map of keys and values",
  array: "a list",
};

function mistake(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type": {
      const quotes = issue.expected === "string" && typeof issue.input !== "object" ? "; put it in quotes" : "";
      return `expected ${KINDS[issue.expected] ?? issue.expected}, found ${kindOf(issue.input)}${quotes}`;
    }
    case "invalid_value": {
      const values = issue.values.map(String);
      const meant = typeof issue.input === "string" ? nearest(issue.input, values) : undefined;
      const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
      return `expected one of ${values.join(", ")}, found ${kindOf(issue.input)}${hint}`;
    }
    case "too_small":
      return issue.origin === "array" ? "the list is empty" : `must be at least ${issue.minimum}`;
    case "too_big":
      return issue.origin === "array"
        ? `the list has more than ${issue.maximum} entries`
        : `must be at most ${issue.maximum}`;
    case "invalid_union":
    case "invalid_format":
    case "custom":
      return issue.message;
    default:
      return issue.message.charAt(0).toLowerCase() + issue.message.slice(1);
  }
}

function kindOf(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map of keys and values";
  if (typeof value === "string") return `"${value.length > 60 ? `${value.slice(0, 60)}…` : value}"`;
  return JSON.stringify(value);
}

function build(written: WrittenConfig, document: YamlDocument): DeployConfig {
  const { network = {} } = written;
  const { dns = {}, store = "corrosion", mtu = "auto" } = network;
  return {
    project: written.project,
    ssh: buildSsh(written.ssh ?? {}),
    servers: Object.entries(written.servers).map(([name, server]) => buildServer(name, server, written, document)),
    network: {
      enabled: network.enabled ?? true,
      clusterCidr: network.cluster_cidr ?? DEFAULT_CLUSTER,
      store: store === "corrosion" ? { kind: "corrosion" } : { kind: "embedded", holder: store.embedded },
      dns: {
        ttlSeconds: dns.ttl ?? 60,
        localFirst: dns.local_first ?? false,
        upstreams: dns.upstreams ?? [],
      },
      mtuBytes: mtu === "auto" ? AUTO_MTU_BYTES : mtu,
    },
  };
}

function buildSsh(ssh: NonNullable<WrittenConfig["ssh"]>): SshConfig {
  const { config = true } = ssh;
  return {
    privateKeys: [
      ...(ssh.private_keys ?? []),
      ...(ssh.keys ?? []),
      ...(ssh.key_path === undefined ? [] : [ssh.key_path]),
    ],
    keysOnly: ssh.keys_only ?? false,
    proxy: ssh.proxy,
    proxyCommand: ssh.proxy_command,
    config: config === true ? "own" : config === false ? "none" : typeof config === "string" ? [config] : config,
    timeoutMs: ssh.timeout ?? 30_000,
  };
}

function buildServer(
  name: string,
  server: WrittenConfig["servers"][string],
  written: WrittenConfig,
  document: YamlDocument,
): ServerConfig {
  const { ssh = {}, builder = {} } = written;
  const endpoints = server.endpoint === undefined ? [] : [server.endpoint].flat();
  const path = ["servers", name];
  const label = parseDnsLabel(name);
  if (label === undefined) throw new Error(`crossCheck has let the name ${name} pass`);
  return {
    name: label,
    host: server.host,
    user: server.user ?? ssh.user,
    port: server.port ?? ssh.port,
    arch: server.arch === undefined ? undefined : parseArch(server.arch),
    engine: server.engine ?? builder.engine,
    endpoints,
    nat: server.nat ?? false,
    at: {
      host: document.positionOf([...path, "host"]),
      endpoint: endpoints.length > 0 ? document.positionOf([...path, "endpoint"]) : document.keyPositionOf(path),
    },
  };
}
