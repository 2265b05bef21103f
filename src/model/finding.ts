import { z } from "zod";
import { boundedText } from "./schema.ts";

/** Something that is not as it should be. It has this form wherever it is found, in JSON too. */
export const findingSchema = z.object({
  /** a key of {@link FINDINGS}; text, because a server may run another release */
  code: boundedText,
  /** `error`: it forbids to go on, or something does not work; `warning`: everything works, and people should know */
  severity: z.enum(["error", "warning"]),
  /** the server's name in deploy.yml; null: it is about several, or the server itself says it */
  server: boundedText.nullable(),
  /** a sentence for people */
  what: boundedText,
  /** what was seen, e.g. a program's message */
  evidence: boundedText.nullable(),
  /** one command or action */
  cure: boundedText,
});

export type Finding = z.output<typeof findingSchema>;

/** `{name}` stands for a value that whoever finds it gives. */
const kind =
  <const Severity extends Finding["severity"]>(severity: Severity) =>
  <const What extends string, const Cure extends string>(what: What, cure: Cure) => ({ severity, what, cure });
const error = kind("error");
const warning = kind("warning");

const NEW_SUBNET = "run jiji network teardown -H NAME for one of them, then set it up again under another name";
const SHOW_AGENT = "journalctl -u jiji-agent -n 50";
const OPEN_PORT = "open 31820/udp towards {peer}, on it and in its provider's firewall";

/** Every code, in the order of docs/troubleshooting.md: npm run docs writes its table from here. */
export const FINDINGS = {
  // the login
  unreachable: error("jiji cannot connect", "check that the server is up and that host in deploy.yml is right"),
  login: error("jiji cannot log in", "check ssh.user and ssh.private_keys"),
  "no-root": error(
    "the login is not root, and sudo asks for a password or is not there",
    "log in as root (ssh.user: root), or allow sudo without a password: sudo -n true must work",
  ),
  "no-answer": error("jiji on the server gave no answer", "jiji network setup"),

  // the system
  "no-linux": error("it does not run Linux", "use a server with Linux"),
  architecture: error("jiji does not run on its processor", "use a server with x86_64 or aarch64, or leave it out"),
  "architecture-differs": error("it is {arch}, the file says {wanted}", "correct arch or host of it in deploy.yml"),
  "no-systemd": error("it does not run systemd", "use a distribution that boots with systemd"),
  "no-glibc": error(
    "it has no GNU C library",
    "use a distribution with glibc, such as Debian, Ubuntu, Fedora, Rocky or openSUSE",
  ),
  "glibc-too-old": error("its glibc is {version}; {program} needs {needed} or newer", "upgrade the distribution"),
  "newer-release": error(
    "it runs jiji {installed}, this is {version}; setup never goes back to an older release",
    "use jiji {installed} or newer",
  ),
  unseen: error("could not look at {thing}", "mend on the server what the message names, then run the command again"),
  unreadable: error(
    "{file} cannot be read, so nobody knows whether the server is a member",
    "mend or remove {file} on the server; jiji does not guess",
  ),

  // the container engine
  "no-engine": error("neither Docker nor Podman is installed", "install one of them"),
  "engine-missing": error("{engine} is not installed", "install {engine}, or choose another engine in deploy.yml"),
  "engine-ambiguous": error(
    "both Docker and Podman are installed",
    "say which one with engine: docker or engine: podman at the server in deploy.yml",
  ),
  "engine-silent": error("{engine} does not answer", "systemctl status docker podman.socket"),
  "engine-config": error("{path} is not what {engine} can read", "correct it, then run the command again"),
  rootless: error(
    "{engine} runs rootless, and its containers have no network of the server",
    "run {engine} as a system service",
  ),
  "podman-without-netavark": error(
    "Podman uses CNI for its networks, not netavark",
    'install netavark and set network_backend = "netavark" in containers.conf',
  ),
  "docker-drops-tunnel": error(
    "Docker {version} drops what comes from the tunnel and has no option against it",
    "upgrade Docker to 28.2 or later",
  ),
  "docker-dns-option": error(
    "Docker is started with {option}, and refuses the same setting in {path}",
    "move it from the unit's command line into that file",
  ),
  "docker-nftables": error(
    "Docker uses its nftables backend, in which nobody else can let the mesh pass",
    'set "firewall-backend": "iptables" in {path} and restart Docker',
  ),

  // addresses, ports and names that are taken
  "range-taken": error(
    "{cidr} is already in use by {user} and overlaps cluster_cidr {cluster}",
    "choose another network.cluster_cidr",
  ),
  "port-taken": error(
    "port {port} is taken by {program}; {needing} needs it",
    "stop {program}, or let it listen on other addresses only; ss -lnp shows it",
  ),
  "interface-taken": error(
    "there is an interface {name} that jiji did not make",
    "remove it if nothing needs it: ip link delete {name}",
  ),
  "network-taken": error(
    "{engine} has a network {network} that jiji did not make",
    "remove it: {engine} network rm {network}",
  ),

  // the mesh
  "two-meshes": error(
    "the file brings two different meshes together: {lists}",
    "use one file for each, or take one apart first with jiji network teardown",
  ),
  "mesh-differs": error(
    "its mesh has {key} {here}, the file says {file}",
    "write {here} into the file: {key} of a mesh cannot change while it stands",
  ),
  "subnet-twice": error("subnet number {subnet} is claimed by {names}", NEW_SUBNET),
  removed: error(
    "it was removed from the mesh, and an identity that was removed never comes back",
    "run jiji network teardown -H {name}, then setup: it joins as a new server",
  ),
  "same-server": error("it is the same server as {other}", "remove one of the two from the file"),
  "name-taken": error(
    "the mesh already has a member of this name, number {subnet}, with another identity",
    "give the server another name in the file; a reinstalled server is a new member",
  ),
  "cluster-too-small": error(
    "it has subnet number {subnet}, but {cluster} holds only {capacity}",
    "give network.cluster_cidr the value that the mesh was made with",
  ),
  "cluster-full": error(
    "no subnet of {cluster} is free: it holds {capacity} servers, removed ones included",
    "make a new mesh whose network.cluster_cidr has a shorter prefix",
  ),
  "store-holder-away": error(
    "{holder} is to hold the embedded store, but it cannot be reached or is left out",
    "set {holder} up first, or name another server under network.store.embedded",
  ),
  "store-moved": error(
    "the mesh's embedded store is on number {here}, the file puts it on {holder} ({subnet})",
    "name the same server as before: the store cannot move while the mesh stands",
  ),

  // a member as it is now
  "not-set-up": error("it is not set up", "jiji network setup"),
  "no-member": error("it is prepared, but it is no member yet", "jiji network setup"),
  "unit-down": error("{unit} is {state}", "journalctl -u {unit} -n 50"),
  "tunnel-down": error("WireGuard is not up", "journalctl -u wg-quick@jiji0 -n 50"),
  "no-handshake": error("no handshake with {peer} yet", OPEN_PORT),
  "handshake-old": error("the last handshake with {peer} is {seconds} s old", OPEN_PORT),
  "full-size-lost": error(
    "no packet of full size comes back from {peer}",
    "set network.mtu: 1280 in deploy.yml after jiji network teardown, if smaller packets come back",
  ),
  "store-silent": error("the store does not answer", "journalctl -u jiji-corrosion -u jiji-store -n 50"),
  "dns-silent": error("jiji-dns does not answer over {transport}", "journalctl -u jiji-dns -n 50"),
  "agent-silent": error("jiji-agent does not answer", SHOW_AGENT),
  "agent-starting": error("jiji-agent has not yet compared the store with the engine", SHOW_AGENT),
  "filter-missing": error("the packet filter is not loaded", "systemctl start jiji-repair"),
  "frame-filter-missing": error("the filter for frames is not loaded", "systemctl start jiji-repair"),
  "frames-unfiltered": warning(
    "this kernel cannot filter frames: a container may pose as the gateway to its neighbours",
    "use a kernel with nftables for bridges (CONFIG_NF_TABLES_BRIDGE)",
  ),
  "host-network": warning(
    "on this server's own network, where nothing tells them from it: {containers}",
    "run those that do not need it without network_mode: host",
  ),
  other: error("{words}", "jiji network setup"),
} as const;

export type FindingCode = keyof typeof FINDINGS;

type ValueNames<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ValueNames<Rest>
  : never;

type Given<Code extends FindingCode> = Readonly<
  Record<ValueNames<(typeof FINDINGS)[Code]["what" | "cure"]>, string | number>
> & {
  readonly server?: string;
  readonly evidence?: string | undefined;
  /** instead of the catalogue's, where whoever finds it knows better */
  readonly cure?: string | undefined;
};

/** A finding with the values that its texts need. */
export function finding<Code extends FindingCode>(
  code: Code,
  ...[given]: object extends Given<Code> ? [given?: Given<Code>] : [given: Given<Code>]
): Finding {
  const { severity, what, cure } = FINDINGS[code];
  const values: Readonly<Record<string, string | number | undefined>> = given ?? {};
  const fill = (text: string): string => text.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(values[name]));
  return {
    code,
    severity,
    server: given?.server ?? null,
    what: fill(what),
    evidence: given?.evidence ?? null,
    cure: given?.cure ?? fill(cure),
  };
}

/** One line for people, without server and cure. */
export function formatFinding({ what, evidence }: Finding): string {
  return evidence === null ? what : `${what}: ${evidence}`;
}
