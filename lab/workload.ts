import { expectSuccess } from "./jiji.ts";
import { labImage } from "./server-image.ts";
import type { ExecResult, Lab } from "./lab.ts";

function engineProgram(lab: Lab, server: string): "docker" | "podman" {
  return lab.servers.find((candidate) => candidate.name === server)?.engine === "podman" ? "podman" : "docker";
}

/** A container with jiji's labels on the network `jiji` that serves `text` over HTTP on port 80. */
export async function startWebContainer(
  lab: Lab,
  server: string,
  container: {
    readonly name: string;
    readonly project: string;
    readonly service: string;
    readonly instance?: string;
    readonly text: string;
  },
): Promise<void> {
  const labels = [
    `jiji.project=${container.project}`,
    `jiji.service=${container.service}`,
    ...(container.instance === undefined ? [] : [`jiji.instance=${container.instance}`]),
  ].flatMap((label) => ["--label", label]);
  const run = [
    engineProgram(lab, server),
    "run",
    "-d",
    "--name",
    container.name,
    "--network",
    "jiji",
    ...labels,
    labImage,
  ];
  expectSuccess(await lab.exec(server, [...run, ...webCommand(container.text)]), `${server}: start ${container.name}`);
}

/** A container's first process ignores SIGTERM unless it handles it, and so delays a server's shutdown. */
const WEB_SERVER =
  'trap "exit 0" TERM; mkdir -p /www && printf "%s\\n" "$1" > /www/index.html && { httpd -f -p 80 -h /www & wait; }';

function webCommand(text: string): string[] {
  return ["sh", "-c", WEB_SERVER, "web", text];
}

/** A Compose project whose services only join the external network `jiji`: nothing else marks them as jiji's. */
export async function startComposeProject(
  lab: Lab,
  server: string,
  project: string,
  service: string,
  text: string,
): Promise<void> {
  const file = JSON.stringify({
    services: {
      [service]: { image: labImage, command: webCommand(text), networks: ["jiji"], stop_grace_period: "1s" },
    },
    networks: { jiji: { external: true } },
  });
  await compose(lab, server, project, ["up", "-d"], file);
}

/** Stops and removes what {@link startComposeProject} started. */
export async function stopComposeProject(lab: Lab, server: string, project: string): Promise<void> {
  await compose(lab, server, project, ["down", "-t", "1"]);
}

async function compose(
  lab: Lab,
  server: string,
  project: string,
  args: readonly string[],
  file?: string,
): Promise<void> {
  const path = `/root/${project}/compose.yaml`;
  if (file !== undefined) {
    const write = ["sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "write", path];
    expectSuccess(await lab.exec(server, write, { input: file }), `${server}: write ${path}`);
  }
  const argv = ["docker", "compose", "-p", project, "-f", path, ...args];
  expectSuccess(await lab.exec(server, argv), `${server}: docker compose ${args[0]}`);
}

/** Runs a program in a fresh container on the network `jiji`. */
export async function runInContainer(lab: Lab, server: string, argv: readonly string[]): Promise<ExecResult> {
  const program = engineProgram(lab, server);
  return lab.exec(server, [program, "run", "--rm", "--network", "jiji", labImage, ...argv]);
}

/** What a fresh container on one server's network `jiji` gets from `host`, a name or `name:port`, over HTTP. */
export async function fetchInContainer(lab: Lab, server: string, host: string): Promise<ExecResult> {
  return runInContainer(lab, server, ["fetch", host]);
}

export async function stopContainer(lab: Lab, server: string, name: string): Promise<void> {
  const argv = [engineProgram(lab, server), "stop", "-t", "1", name];
  expectSuccess(await lab.exec(server, argv), `${server}: stop ${name}`);
}

export async function removeContainer(lab: Lab, server: string, name: string): Promise<void> {
  const argv = [engineProgram(lab, server), "rm", "-f", name];
  expectSuccess(await lab.exec(server, argv), `${server}: remove ${name}`);
}

/** The addresses that one server's jiji-dns gives for a name, sorted; asked with dig on that server. */
export async function addressesOf(
  lab: Lab,
  server: string,
  dnsAddress: string,
  name: string,
): Promise<readonly string[]> {
  const result = await lab.exec(server, ["dig", "+short", "+time=1", "+tries=1", `@${dnsAddress}`, name, "A"]);
  return result.stdout
    .split("\n")
    .filter((line) => /^[0-9.]+$/.test(line))
    .toSorted();
}
