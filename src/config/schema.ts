import { z } from "zod";
import {
  endpointOf,
  ipv4FromNumber,
  ipv4ToNumber,
  parseIpv4,
  parseNumericAddress,
  splitHostPort,
  type Endpoint,
} from "../model/address.ts";
import { ARCH_SPELLINGS } from "../model/architecture.ts";
import { parseClusterCidr } from "../model/cluster.ts";
import { normalizeToLabel, parseDnsLabel } from "../model/names.ts";
import { engineKindSchema } from "../model/node-spec.ts";
import { branded } from "../model/schema.ts";
import type { EndpointWords } from "./deploy-config.ts";
import { parseProxyJump, SSH_HOST, SSH_USER, parseSshHost, parseSshUser } from "./ssh-words.ts";

/**
 * The shape of deploy.yml: the one source of what is accepted, of the error messages, and of the JSON Schema for editors.
 * cross-checks.ts has the checks that compare several places of the file.
 */

const LABEL_PATTERN = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

function labelMistake(what: string, text: string): string {
  const suggestion = normalizeToLabel(text);
  const meant = suggestion === undefined || suggestion === text ? "" : `; did you mean "${suggestion}"?`;
  return `${what} "${text}" is not a DNS label: lower-case letters, digits and inner hyphens, at most 63${meant}`;
}

const label = (what: string) =>
  branded(parseDnsLabel, (text) => labelMistake(what, text)).meta({ pattern: LABEL_PATTERN });

function hostMistake(text: string): string {
  const split = splitHostPort(text);
  if (split !== undefined) return `"${text}" holds a port: write host: ${split.host} and port: ${split.port}`;
  return `"${text}" cannot be a host: letters, digits, ".", "_" and "-", the first not "-" or "."`;
}

const host = branded(parseSshHost, hostMistake).meta({ pattern: SSH_HOST.source });

const user = branded(
  parseSshUser,
  (text) => `"${text}" cannot be a user: letters, digits, ".", "_" and "-", the first not "-" or "."`,
).meta({ pattern: SSH_USER.source });

const port = z.int().min(1).max(65535);

/** One line that goes into ssh's configuration as a quoted word: no quotes, backslashes or control characters. */
const path = z
  .string()
  .regex(/^[^"'\\\p{Cc}]+$/u, { error: "a path may not hold quotes, backslashes or control characters" });

const endpoint = branded(
  parseEndpointWords,
  (text) => `"${text}" is not an endpoint: give an address or host name with a port, such as 203.0.113.9:31820`,
);

/** Splits `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address; undefined for anything else. */
function parseEndpointWords(text: string): EndpointWords | undefined {
  const split = splitHostPort(text);
  if (split !== undefined) return isEndpointHost(split.host) ? split : undefined;
  const bare = /^\[([^\]]+)\]$/.exec(text)?.[1] ?? text;
  return isEndpointHost(bare) ? { host: bare, port: undefined } : undefined;
}

function isEndpointHost(text: string): boolean {
  return parseNumericAddress(text) !== undefined || (!text.includes(":") && parseSshHost(text) !== undefined);
}

const upstream = branded(
  parseUpstream,
  (text) => `"${text}" is not a resolver: give its address, with a port if it is not 53`,
);

/** Reads `192.0.2.53` or `192.0.2.53:5353` (IPv6 in brackets when a port follows); undefined for anything else. */
function parseUpstream(text: string): Endpoint | undefined {
  const words = parseEndpointWords(text);
  return words === undefined ? undefined : endpointOf(words.host, words.port ?? 53);
}

const serverShape = {
  host: host.describe("Host name, address or alias of the ssh configuration under which the server is reached"),
  user: user.optional().describe("Login name, when it differs from ssh.user"),
  port: port.optional().describe("Port of sshd, when it differs from ssh.port"),
  arch: z
    .enum(ARCH_SPELLINGS)
    .optional()
    .describe("Processor architecture; when given, a server with another one is refused"),
  engine: engineKindSchema.optional().describe("Container engine of this server; wins over builder.engine"),
  endpoint: z
    .union([endpoint, z.array(endpoint).min(1).max(8)], { error: "give one endpoint or a list of them" })
    .optional()
    .describe("Where the other servers reach this one's WireGuard, if not at `host`; several are tried in turn"),
  nat: z.boolean().optional().describe("The server cannot be reached from outside: the others wait for it to call"),
};

const sshShape = {
  user: user.optional().describe("Login name on the servers; anybody but root needs sudo without a password"),
  port: port.optional().describe("Port of sshd"),
  private_keys: z.array(path).optional().describe("Private keys to log in with"),
  keys_only: z.boolean().optional().describe("Offer only these keys, not those of the ssh agent"),
  proxy: branded(
    parseProxyJump,
    (text) => `"${text}" is not a jump host: [user@]host[:port], several with commas between`,
  )
    .optional()
    .describe("Jump host, [user@]host[:port]; several with commas between"),
  proxy_command: z
    .string()
    .regex(/^[^\p{Cc}]+$/u, { error: "a proxy command is one line" })
    .optional()
    .describe("Program that connects to the server; jiji asks before it is run for the first time"),
  config: z
    .union([z.boolean(), path, z.array(path).min(1)], { error: "give true, false, a path or a list of paths" })
    .optional()
    .describe("OpenSSH configuration that applies underneath: the user's own (true), none (false), or these files"),
  timeout: z.int().min(1000).max(600_000).optional().describe("Time to connect, in milliseconds"),
  keys: z.array(path).optional().meta({ description: "Earlier name of private_keys", deprecated: true }),
  key_path: path.optional().meta({ description: "Earlier name of private_keys, for one key", deprecated: true }),
};

/** Keys of the earlier program for which OpenSSH has its own answer: accepted and left alone. */
const FORMER_SSH_KEYS = [
  "key_passphrase",
  "key_data",
  "connect_timeout",
  "command_timeout",
  "options",
  "max_concurrent_starts",
  "pool_idle_timeout",
  "dns_retries",
  "log_level",
] as const;

const former = z.unknown().optional().meta({ description: "Accepted and left alone", deprecated: true });

const dnsShape = {
  ttl: z.int().min(0).max(86_400).optional().describe("Seconds that answers may be kept; default 60"),
  local_first: z.boolean().optional().describe("Answer with containers of the asking server first"),
  upstreams: z
    .array(upstream)
    .max(8)
    .optional()
    .describe("Resolvers for every other name; default: those of the server's system"),
};

const storeShape = { embedded: label("server") };

const networkShape = {
  enabled: z.boolean().optional().describe("false: network commands refuse, but for teardown"),
  cluster_cidr: branded(parseClusterCidr, describeCidrMistake)
    .optional()
    .describe("Network of all servers and containers, prefix /8 to /24; default 10.210.0.0/16"),
  store: z
    .union([z.literal("corrosion"), z.strictObject(storeShape)], {
      error: "give `corrosion`, or { embedded: SERVER } for a trial",
    })
    .optional()
    .describe("Where the records are kept; default corrosion"),
  dns: z.strictObject(dnsShape).optional(),
  mtu: z
    .union([z.literal("auto"), z.int().min(1280).max(8920)], { error: "give `auto` or a number from 1280 to 8920" })
    .optional()
    .describe("Largest packet inside the tunnel, in bytes; auto is 1420"),
};

const builderShape = {
  engine: engineKindSchema.optional().describe("Container engine of the servers; default: what is found on each"),
};

/** Keys of deploying: accepted and left alone. */
const DEPLOY_KEYS = ["services", "environment", "secrets", "secrets_path"] as const;

const deployKey = z.unknown().optional().describe("Belongs to deploying; network commands leave it alone");

const topShape = {
  project: label("project").describe("Name of the project, a DNS label; part of every service's name"),
  builder: z.looseObject(builderShape).optional(),
  ssh: z
    .strictObject({ ...sshShape, ...(Object.fromEntries(FORMER_SSH_KEYS.map((key) => [key, former])) as object) })
    .optional()
    .describe("How the servers are reached; OpenSSH's own configuration applies underneath"),
  servers: z
    .record(z.string(), z.strictObject(serverShape))
    .describe("The servers by name; a name is a DNS label")
    .meta({ propertyNames: { pattern: LABEL_PATTERN }, minProperties: 1 }),
  network: z.strictObject(networkShape).optional(),
};

export const deploySchema = z.strictObject({
  ...topShape,
  ...Object.fromEntries(DEPLOY_KEYS.map((key) => [key, deployKey])),
});

/** The file as {@link deploySchema} has read it, without the keys that are left alone. */
export type WrittenConfig = z.output<z.ZodObject<typeof topShape>>;

/** The known keys at a place of the file, for the nearest to an unknown one. */
export function knownKeysAt(path: readonly PropertyKey[]): readonly string[] {
  const [top, second] = path;
  if (path.length === 0) return [...Object.keys(topShape), ...DEPLOY_KEYS];
  if (top === "ssh") return [...Object.keys(sshShape), ...FORMER_SSH_KEYS];
  if (top === "servers" && path.length === 2) return Object.keys(serverShape);
  if (top === "network" && path.length === 1) return Object.keys(networkShape);
  if (top === "network" && second === "dns") return Object.keys(dnsShape);
  if (top === "network" && second === "store") return Object.keys(storeShape);
  return [];
}

/** What is wrong with a `cluster_cidr` that parseClusterCidr refuses, and what was probably meant. */
export function describeCidrMistake(text: string): string {
  const match = /^([^/]+)\/([0-9]{1,3})$/.exec(text.trim());
  const address = match?.[1] === undefined ? undefined : parseIpv4(match[1]);
  if (match === null || address === undefined) {
    return `"${text}" is not an IPv4 network: write it as address/prefix, such as 10.210.0.0/16`;
  }
  const prefix = Number(match[2]);
  if (prefix < 8 || prefix > 24) {
    return `"${text}" has prefix /${prefix}: it must be /8 to /24, since each server gets a /24 of it`;
  }
  const value = ipv4ToNumber(address);
  const network = ipv4FromNumber(value - (value % 2 ** (32 - prefix)));
  return `"${text}" names an address inside the network: did you mean "${network}/${prefix}"?`;
}

/** JSON Schema (draft 2020-12) of deploy.yml for editors, made from the schema with which jiji checks the file. */
export function deployJsonSchema(): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(deploySchema, { io: "input", target: "draft-2020-12" });
  return { title: "jiji deploy.yml", ...schema };
}
