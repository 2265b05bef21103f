import { createHash } from "node:crypto";

/** A generation of Debian; `trixie` is what the demo uses. */
export type Release = "bookworm" | "trixie" | "forky";
/** Which container engines a server has: installed and, for Docker, running. The others are not installed at all. */
export type EngineChoice = "docker" | "podman" | "both" | "none";

export const releases: readonly Release[] = ["bookworm", "trixie", "forky"];
export const engineChoices: readonly EngineChoice[] = ["docker", "podman", "both", "none"];

/** Raise it when something but the lists below changes in how an image is made. */
const RECIPE_VERSION = 3;

const commonPackages: readonly string[] = [
  ...["systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "procps", "kmod", "ca-certificates", "curl"],
  ...["iproute2", "iptables", "nftables", "ufw", "wireguard-tools", "wireguard-go", "iputils-ping", "dnsutils"],
  ...["busybox-static", "socat", "tcpdump", "conntrack", "ethtool", "python3-minimal", "netcat-openbsd"],
];

function enginePackages(release: Release, engine: EngineChoice): readonly string[] {
  const docker =
    release === "bookworm"
      ? ["docker.io", "containerd", "runc"]
      : ["docker.io", "docker-cli", "docker-compose", "containerd", "runc"];
  const podman = ["podman", "runc", "netavark", "aardvark-dns"];
  return {
    none: [],
    docker,
    podman,
    both: [...docker, ...podman],
  }[engine];
}

/** How one base image is made. Two recipes with the same `key` give the same image. */
export interface Recipe {
  readonly release: Release;
  readonly engine: EngineChoice;
  readonly common: readonly string[];
  readonly engines: readonly string[];
  /** The folder's name in the cache: readable, and different as soon as anything in the recipe is. */
  readonly key: string;
}

/** The recipe of the image for servers of this release with these engines. */
export function recipeFor(release: Release, engine: EngineChoice): Recipe {
  const engines = enginePackages(release, engine);
  const hash = createHash("sha256")
    .update(JSON.stringify([RECIPE_VERSION, release, commonPackages, engines]))
    .digest("hex")
    .slice(0, 12);
  return { release, engine, common: commonPackages, engines, key: `${release}-${engine}-${hash}` };
}
