import { messageOf } from "../model/errors.ts";
import { loadIdentity } from "../apply/kinds/identity.ts";
import { ManifestFile } from "../apply/manifest-file.ts";
import { loadMembers } from "../apply/members-file.ts";
import { findNetworkObstacles, observeUsedNetworks } from "../apply/network-facts.ts";
import { parseArch } from "../model/architecture.ts";
import { finding } from "../model/finding.ts";
import type { EngineKind, NodeSpec } from "../model/node-spec.ts";
import type { NodeFacts } from "../model/node/observe.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import { PATHS } from "../model/paths.ts";
import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import { VERSION } from "../model/version.ts";
import { ProgramMissing, type Files, type Host } from "../system/host.ts";
import type { Call } from "./call.ts";
import { observeEngines } from "./engine-facts.ts";
import { observeListeners } from "./listeners.ts";
import { readSpec } from "./own-files.ts";

/** `jiji node observe`. Never writes. */
export async function runNodeObserve(
  { engine }: CheckedRequestOf<"observe">,
  { host, say }: Call<"observe">,
): Promise<void> {
  say(await observeNode(host, engine));
}

async function observeNode(host: Host, wanted: EngineKind | null): Promise<NodeFacts> {
  const { files } = host;
  const [identity, spec] = await Promise.all([loadIdentity(files), readSpec(files)]);
  const [engines, networks, system, listeners, jiji] = await Promise.all([
    observeEngines(host),
    observeUsedNetworks(host),
    observeSystem(host),
    observeListeners(host, spec),
    jijiVersion(host),
  ]);
  const engine = wanted ?? engineOf(spec, engines);
  const unseen = { thing: "the networks in use", evidence: networks.state === "unknown" ? networks.why : "" };
  const findings = [
    ...(engine === undefined
      ? []
      : await findNetworkObstacles(host, engine, (await ManifestFile.load(files)).manifest)),
    ...(networks.state === "unknown" ? [finding("unseen", unseen)] : []),
  ];
  return {
    ...system,
    engines,
    identity: identity.state === "found" ? found(identity.value.identity) : identity,
    spec,
    members: await loadMembers(files),
    release: { jiji },
    networks: networks.state === "found" ? networks.value : [],
    listeners,
    findings,
  };
}

async function observeSystem(host: Host): Promise<Pick<NodeFacts, "arch" | "os" | "systemd" | "glibc">> {
  const [arch, systemd, glibc] = await Promise.all([architecture(host), systemdVersion(host), glibcVersion(host)]);
  return { arch, os: { prettyName: await systemName(host.files) }, systemd, glibc };
}

function engineOf(spec: Reading<NodeSpec>, engines: NodeFacts["engines"]): EngineKind | undefined {
  if (spec.state === "found") return spec.value.engine;
  return (["docker", "podman"] as const).find((kind) => engines[kind].state === "found");
}

async function architecture(host: Host): Promise<string> {
  const machine = (await host.programs.run(["uname", "-m"])).stdout.trim();
  return parseArch(machine) ?? machine;
}

/** PRETTY_NAME of os-release(5), from the first of its two places that is there. */
async function systemName(files: Files): Promise<string> {
  for (const path of ["/etc/os-release", "/usr/lib/os-release"]) {
    const text = await files.read(path);
    if (text.state !== "found") continue;
    return /^PRETTY_NAME=["']?([^"'\n]*)["']?$/m.exec(text.value)?.[1] ?? "";
  }
  return "";
}

/** The version of the systemd that has booted this server; a systemd that is only installed does not count. */
async function systemdVersion(host: Host): Promise<Reading<string>> {
  const booted = await host.files.stat("/run/systemd/system");
  if (booted.state !== "found") return booted.state === "absent" ? ABSENT : booted;
  return firstMatch(host, ["systemctl", "--version"], /^systemd (\S+)/);
}

/** glibc's version; absent where the C library is another one. */
async function glibcVersion(host: Host): Promise<Reading<string>> {
  const asked = await firstMatch(host, ["getconf", "GNU_LIBC_VERSION"], /^glibc (\S+)/);
  if (asked.state === "found") return asked;
  // ldd of musl fails and names itself on standard error; ldd of glibc prints its version first
  try {
    const { stdout, stderr } = await host.programs.run(["ldd", "--version"]);
    if (/musl/i.test(stdout + stderr)) return ABSENT;
    const version = /\) (\d+\.\d+)/.exec(stdout)?.[1];
    return version === undefined ? unknown("ldd --version does not say which C library this is") : found(version);
  } catch {
    return asked;
  }
}

async function firstMatch(host: Host, argv: readonly [string, ...string[]], pattern: RegExp): Promise<Reading<string>> {
  try {
    const { stdout, code } = await host.programs.run(argv);
    const match = pattern.exec(stdout)?.[1];
    return match === undefined ? unknown(`${argv.join(" ")} gave no version (exit ${code})`) : found(match);
  } catch (error) {
    return error instanceof ProgramMissing ? ABSENT : unknown(messageOf(error));
  }
}

/** The installed jiji's version; usually the installed one is what runs here. */
async function jijiVersion(host: Host): Promise<Reading<string>> {
  if (process.execPath === PATHS.executable) return found(VERSION);
  const stat = await host.files.stat(PATHS.executable);
  if (stat.state !== "found") return stat.state === "absent" ? ABSENT : stat;
  return firstMatch(host, [PATHS.executable, "--version"], /(\d+\.\d+\.\d+\S*)/);
}
