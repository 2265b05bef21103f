import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { cacheDirectory } from "../tools/cache.ts";
import { startDetached } from "./detached.ts";
import { namespaceName, operatorOctet, plugIn, publicAddress, writeNamespaceFiles } from "./namespaces.ts";
import { mustRun } from "../tools/run.ts";
import { hostKey } from "./server-root.ts";
import { labDirectory, labsDirectory, loadServerStates } from "./state.ts";
import { waitFor } from "./wait.ts";

/** The person at the keyboard: a network namespace on the lab's switch, a home folder, an ssh key and configuration. */
export interface Operator {
  readonly namespace: string;
  readonly address: string;
  /** Folder for the operator's files; `HOME` of what runs there. */
  readonly home: string;
  /** ssh_config with a Host entry for each server by name, host keys checked against the servers' real ones. */
  readonly sshConfig: string;
  readonly privateKey: string;
}

export function operatorOf(id: string): Operator {
  const home = join(labDirectory(id), "operator");
  return {
    namespace: namespaceName(id, "operator"),
    address: publicAddress(operatorOctet),
    home,
    sshConfig: join(home, ".ssh", "config"),
    privateKey: join(home, ".ssh", "id_ed25519"),
  };
}

/** Log of the questions that the servers' upstream resolver was asked; one line each, see resolver.ts. */
export function resolverLog(id: string): string {
  return join(labDirectory(id), "resolver.log");
}

/** Makes the operator's namespace, key and configuration (of no server yet) and starts the lab's resolver there. */
export async function makeOperator(id: string): Promise<void> {
  const operator = operatorOf(id);
  await plugIn(id, operator.namespace, "operator", operatorOctet);
  mkdirSync(join(operator.home, ".ssh"), { recursive: true, mode: 0o700 });
  await mustRun(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", operator.privateKey]);
  makeSshFolder();
  refreshOperator(id);
  await startResolver(id);
}

/** Writes everything of the operator that lists servers: ssh configuration, known hosts, names. */
export function refreshOperator(id: string): void {
  const operator = operatorOf(id);
  const servers = loadServerStates(id);
  const folder = join(operator.home, ".ssh");
  replaceFile(
    operator.sshConfig,
    renderSshConfig(
      operator,
      servers.map((server) => [server.name, publicAddress(server.octet)]),
    ),
  );
  const known = servers.map((server) => `${server.name},${publicAddress(server.octet)} ${hostKey(id, server.name)}\n`);
  replaceFile(join(folder, "known_hosts"), known.join(""));
  const names = servers.map((server) => [server.name, publicAddress(server.octet)] as const);
  replaceFile(join(labDirectory(id), "names.json"), JSON.stringify(Object.fromEntries(names)));
  writeNamespaceFiles(operator.namespace, {
    "resolv.conf": `nameserver ${operator.address}\n`,
    hosts: ["127.0.0.1 localhost", ...names.map(([name, address]) => `${address} ${name}`), ""].join("\n"),
  });
}

/** The ssh_config of a lab's operator, for these servers and their addresses. */
export function renderSshConfig(operator: Operator, servers: readonly (readonly [string, string])[]): string {
  const entries = servers.map(
    ([name, address]) => `Host ${name} ${address}\n  HostName ${address}\n  HostKeyAlias ${name}\n`,
  );
  return [
    ...entries,
    "Host *",
    "  User root",
    `  IdentityFile ${operator.privateKey}`,
    "  IdentitiesOnly yes",
    `  UserKnownHostsFile ${join(operator.home, ".ssh", "known_hosts")}`,
    "  GlobalKnownHostsFile /dev/null",
    "  StrictHostKeyChecking yes",
    "  UpdateHostKeys no",
    "",
  ].join("\n");
}

/**
 * The command line that runs `argv` in the operator's namespace: own network, own resolv.conf and hosts, and the
 * operator's .ssh in the place where OpenSSH looks, so a plain `ssh web1` works too. The process started is the program
 * itself, so signals reach it.
 */
export function enterOperator(id: string, argv: readonly string[]): string[] {
  const operator = operatorOf(id);
  const bind = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
  return [
    ...["ip", "netns", "exec", operator.namespace],
    ...["sh", "-c", bind, "operator", join(operator.home, ".ssh"), join(realHome(), ".ssh"), ...argv],
  ];
}

/** The environment of the operator's programs: this process's, with the operator's home and the real cache. */
export function operatorEnvironment(id: string, added: Record<string, string> = {}): Record<string, string> {
  const { SSH_AUTH_SOCK: _agent, ...own } = process.env as Record<string, string>;
  return { ...own, HOME: operatorOf(id).home, JIJI_CACHE: cacheDirectory(), ...added };
}

/** The home folder that OpenSSH takes, from the user database; it ignores `HOME`. */
function realHome(): string {
  return userInfo().homedir;
}

const madeSshFolder = join(labsDirectory, ".made-ssh-folder");

function makeSshFolder(): void {
  const folder = join(realHome(), ".ssh");
  if (existsSync(folder)) return;
  mkdirSync(folder, { mode: 0o700 });
  writeFileSync(madeSshFolder, folder);
}

/** Removes the machine's .ssh folder again if the lab made it and nobody has put anything there. */
export function removeMadeSshFolder(): void {
  if (!existsSync(madeSshFolder)) return;
  try {
    rmSync(readFileSync(madeSshFolder, "utf8"), { recursive: false });
  } catch {
    // In use by now: it stays.
  }
  rmSync(madeSshFolder, { force: true });
}

async function startResolver(id: string): Promise<void> {
  const directory = labDirectory(id);
  const ready = join(directory, "resolver.ready");
  writeFileSync(resolverLog(id), "");
  const script = join(import.meta.dir, "resolver.ts");
  const files = [join(directory, "names.json"), resolverLog(id), ready];
  const enter = ["ip", "netns", "exec", operatorOf(id).namespace];
  const program = [process.execPath, "--no-env-file", script, operatorOf(id).address, ...files];
  await startDetached([...enter, ...program], { log: join(directory, "resolver.out") });
  await waitFor(() => existsSync(ready), { timeoutMs: 20_000, what: "the lab's resolver", intervalMs: 10 });
}

function replaceFile(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}
