import { messageOf } from "../model/errors.ts";
import type { EngineFacts, NodeFacts } from "../model/node/observe.ts";
import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import { ProgramMissing, type Host, type ProgramResult } from "../system/host.ts";

const TIMEOUT_MS = 20_000;

/** Which engines are there. One that is installed but does not answer is unknown, since its containers may be running. */
export async function observeEngines(host: Host): Promise<NodeFacts["engines"]> {
  const [docker, podman] = await Promise.all([observeDocker(host), observePodman(host)]);
  return { docker, podman };
}

async function observeDocker(host: Host): Promise<Reading<EngineFacts>> {
  const client = await ask(host, ["docker", "--version"]);
  if (client.state !== "found") return client;
  // the package podman-docker brings a program of this name
  if (/podman/i.test(client.value.stdout)) return ABSENT;
  const asked = await ask(host, ["docker", "info", "--format", "{{.ServerVersion}} {{json .SecurityOptions}}"]);
  if (asked.state !== "found") return asked;
  const { code, stdout, stderr } = asked.value;
  const match = /^(\d\S*) (.*)$/s.exec(stdout.trim());
  if (code !== 0 || match === null) return unknown(`docker info: ${lastLine(stderr) || `exit ${code}`}`);
  return found({ kind: "docker", version: match[1] ?? "", rootless: (match[2] ?? "").includes("name=rootless") });
}

async function observePodman(host: Host): Promise<Reading<EngineFacts>> {
  const format = "{{.Version.Version}} {{.Host.NetworkBackend}} {{.Host.Security.Rootless}}";
  const asked = await ask(host, ["podman", "info", "--format", format]);
  if (asked.state !== "found") return asked;
  const { code, stdout, stderr } = asked.value;
  const match = /^(\d\S*) (\S+) (true|false)$/.exec(stdout.trim());
  if (code !== 0 || match === null) return unknown(`podman info: ${lastLine(stderr) || `exit ${code}`}`);
  const [, version = "", backend, rootless] = match;
  return found({ kind: "podman", version, netavark: backend === "netavark", rootless: rootless === "true" });
}

async function ask(host: Host, argv: readonly [string, ...string[]]): Promise<Reading<ProgramResult>> {
  try {
    return found(await host.programs.run(argv, { timeoutMs: TIMEOUT_MS }));
  } catch (error) {
    return error instanceof ProgramMissing ? ABSENT : unknown(messageOf(error));
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.slice(0, 300) ?? "";
}
