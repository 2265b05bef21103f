import type { Problem } from "../../desired/observed-server.ts";
import { isOlderVersion } from "../../model/version.ts";
import type { ReachedServer } from "../servers/fleet.ts";
import type { ReleaseFiles } from "./release-files.ts";

/**
 * What forbids even to upload: seen at the login, before anything is sent. Everything else is found by observing, with
 * jiji's own program.
 */
export function findUnfitAtLogin(server: ReachedServer, files: ReleaseFiles): Problem[] {
  const { probe } = server.connection;
  const problems: Omit<Problem, "server">[] = [];
  if (probe.system !== "Linux") {
    problems.push({ code: "no-linux", message: `it runs ${probe.system}`, hint: "jiji sets up servers with Linux" });
  } else if (server.arch === undefined) {
    problems.push({
      code: "architecture",
      message: `its processor is ${probe.machine}; jiji runs on x86_64 and aarch64`,
      hint: "leave it out, or use another server",
    });
  }
  const wanted = server.config.arch;
  if (wanted !== undefined && server.arch !== undefined && server.arch !== wanted) {
    problems.push({
      code: "architecture",
      message: `it is ${server.arch}, the file says ${wanted}`,
      hint: `correct servers.${server.config.name}.arch, or host`,
    });
  }
  if (probe.privilege === "none") {
    problems.push({
      code: "no-root",
      message: "the login is not root, and sudo asks for a password or is not there",
      hint: "log in as root (ssh.user: root), or allow sudo without a password: sudo -n true must work",
    });
  }
  if (!probe.systemd) {
    problems.push({
      code: "no-systemd",
      message: "it does not run systemd",
      hint: "jiji's services need systemd; use a distribution that boots with it",
    });
  }
  if (probe.libc.kind === "musl") {
    problems.push({
      code: "no-glibc",
      message: "its C library is musl",
      hint: "use a distribution with glibc, such as Debian, Ubuntu, Fedora, Rocky or openSUSE",
    });
  }
  const needed = server.arch === undefined ? "0" : files.byArch[server.arch].glibc;
  if (probe.libc.kind === "glibc" && isOlderVersion(probe.libc.version, needed)) {
    problems.push({
      code: "glibc-too-old",
      message: `its glibc is ${probe.libc.version}; jiji needs ${needed} or newer`,
      hint: "upgrade the distribution",
    });
  }
  return problems.map((problem) => ({ server: server.config.name, ...problem }));
}
