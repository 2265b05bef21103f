import { ConnectError } from "./connection.ts";
import { showText } from "../model/shown-text.ts";

/**
 * Turns ssh's last words (exit 255) into an error for people. The patterns are OpenSSH's own messages, which are never
 * translated; an unknown message is shown as it is.
 */
export function describeSshFailure(stderr: string, destination: string, timeoutMs: number): ConnectError {
  const text = stderr.trim();
  const last = showText(
    text
      .split("\n")
      .findLast((line) => line.trim() !== "")
      ?.trim() ?? "ssh gave no reason",
  );
  for (const [pattern, make] of CASES) {
    const match = pattern.exec(text);
    if (match !== null) return make({ destination, last, match, timeoutMs });
  }
  return new ConnectError("unreachable", `ssh could not connect: ${last}`, `try it by hand: ssh ${destination}`);
}

interface Seen {
  readonly destination: string;
  readonly last: string;
  readonly match: RegExpExecArray;
  readonly timeoutMs: number;
}

const CASES: readonly (readonly [RegExp, (seen: Seen) => ConnectError])[] = [
  [
    /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    ({ destination }) =>
      new ConnectError(
        "host-key",
        "its host key is another than the one in known_hosts",
        `if the server was reinstalled, remove the old key (ssh-keygen -R HOST) and check the new one: ssh ${destination}; ` +
          "if not, somebody may stand in between",
      ),
  ],
  [
    /Host key verification failed|No .+ host key is known for/,
    ({ destination }) =>
      new ConnectError(
        "host-key",
        "its host key is not known",
        `connect once by hand and compare the fingerprint: ssh ${destination}`,
      ),
  ],
  [
    /Too many authentication failures/,
    () =>
      new ConnectError(
        "refused",
        "it refused the login: too many keys were offered",
        "name the right one under ssh.private_keys and set ssh.keys_only: true",
      ),
  ],
  [
    /Permission denied \(([^)]*)\)/,
    ({ destination, match }) =>
      new ConnectError(
        "refused",
        `it refused the login (it accepts: ${showText(match[1] ?? "")})`,
        `check ssh.user and ssh.private_keys; this must work without a password: ssh ${destination}`,
      ),
  ],
  [
    /no such identity: (.+?): No such file/,
    ({ match }) =>
      new ConnectError(
        "setup",
        `the private key ${showText(match[1] ?? "")} does not exist`,
        "correct ssh.private_keys",
      ),
  ],
  [
    /Bad configuration option|Bad owner or permissions|bad configuration options|keyword .+ (extra|missing) argument/,
    ({ last }) =>
      new ConnectError("setup", `ssh's configuration is not usable: ${last}`, "correct the file that it names"),
  ],
  [
    /Could not resolve hostname ([^:]+)/,
    ({ match }) =>
      new ConnectError(
        "unreachable",
        `its host name ${showText(match[1] ?? "")} cannot be looked up`,
        "check the host in deploy.yml, or the network of this machine",
      ),
  ],
  [
    /Connection timed out|Operation timed out|timed out during banner exchange/,
    ({ timeoutMs }) =>
      new ConnectError(
        "unreachable",
        `it did not answer within ${Math.ceil(timeoutMs / 1000)} s`,
        "check that it is up and that its port for ssh is open",
      ),
  ],
  [
    /Connection refused/,
    () => new ConnectError("unreachable", "nothing listens on its port for ssh", "check that sshd runs, and ssh.port"),
  ],
  [
    /No route to host|Network is unreachable|Host is down/,
    ({ last }) =>
      new ConnectError("unreachable", `there is no way to it: ${last}`, "check that it is up, and its address"),
  ],
  [
    /stdio forwarding failed|channel 0: open failed|Connection closed by UNKNOWN/,
    ({ last }) =>
      new ConnectError(
        "unreachable",
        `the jump host could not reach it: ${last}`,
        "check ssh.proxy, and the server's host",
      ),
  ],
];
