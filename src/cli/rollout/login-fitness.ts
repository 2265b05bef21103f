import { finding, type Finding } from "../../model/finding.ts";
import { isOlderVersion } from "../../model/version.ts";
import type { ReachedServer } from "../servers/fleet.ts";
import type { ReleaseFiles } from "./release-files.ts";

/**
 * What makes a server unfit even for an upload: seen at the login, before anything is sent. jiji's own program finds the
 * rest.
 */
export function findUnfitAtLogin({ config, connection, arch }: ReachedServer, files: ReleaseFiles): Finding[] {
  const { probe } = connection;
  const { libc } = probe;
  const server = config.name;
  const needed = arch === undefined ? "0" : files.byArch[arch].glibc;
  const findings = [
    probe.system !== "Linux" && finding("no-linux", { server, evidence: `it runs ${probe.system}` }),
    probe.system === "Linux" && arch === undefined && finding("architecture", { server, evidence: probe.machine }),
    config.arch !== undefined &&
      arch !== undefined &&
      config.arch !== arch &&
      finding("architecture-differs", { server, arch, wanted: config.arch }),
    probe.privilege === "none" && finding("no-root", { server, evidence: probe.sudoSaid }),
    !probe.systemd && finding("no-systemd", { server }),
    libc.kind === "musl" && finding("no-glibc", { server, evidence: "its C library is musl" }),
    libc.kind === "glibc" &&
      isOlderVersion(libc.version, needed) &&
      finding("glibc-too-old", { server, version: libc.version, program: "jiji", needed }),
  ];
  return findings.filter((found) => found !== false);
}
