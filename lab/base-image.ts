import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { cacheDirectory, makeOwnedDirectory } from "../tools/cache.ts";
import { withLock } from "./lock.ts";
import { type EngineChoice, recipeFor, type Recipe, type Release } from "./recipe.ts";
import { mustRun } from "../tools/run.ts";

/** The folder with the base images and nothing else. */
export function imageDirectory(): string {
  return join(cacheDirectory(), "lab");
}

/**
 * Resolves to the path of a complete root file system for servers of this kind, made now when the cache has none
 * (30 to 60 s). An image is never changed afterwards and appears by one rename, so any number of labs may use it.
 * Two that need the same one at the same time make it once.
 */
export async function ensureBaseImage(
  release: Release,
  engine: EngineChoice,
  onProgress: (line: string) => void,
): Promise<string> {
  const recipe = recipeFor(release, engine);
  const directory = imageDirectory();
  const image = join(directory, recipe.key);
  if (existsSync(image)) return image;
  makeOwnedDirectory(directory);
  // The image with an engine starts as a copy of the one without.
  const common = engine === "none" ? undefined : await ensureBaseImage(release, "none", onProgress);
  await withLock(join(directory, `.${recipe.key}.lock`), async () => {
    if (existsSync(image)) return;
    const started = performance.now();
    // Named after the process: a program that a killed process left behind still writes into its own folder.
    const building = join(directory, `.${recipe.key}.building-${process.pid}`);
    for (const name of readdirSync(directory).filter((entry) => entry.startsWith(`.${recipe.key}.building-`))) {
      rmSync(join(directory, name), { recursive: true, force: true });
    }
    onProgress(`making the base image ${recipe.key} (once; into ${directory}) …`);
    if (common === undefined) await buildCommon(recipe, building);
    else await buildEngine(recipe, common, building);
    // systemd compares these with /usr: without them the first start differs from all later ones.
    for (const stamp of ["etc/.updated", "var/.updated"]) write(building, stamp, "");
    renameSync(building, image);
    onProgress(`made the base image ${recipe.key} in ${Math.round((performance.now() - started) / 1000)} s`);
  });
  return image;
}

async function buildCommon(recipe: Recipe, root: string): Promise<void> {
  const mirror = await configuredMirror();
  const options = (await aptOptions()).map((line) => `--aptopt=${line}`);
  await mustRun(
    ["mmdebstrap", "--mode=root", "--variant=minbase", ...options, `--include=${recipe.common.join(",")}`].concat(
      recipe.release,
      root,
      ...(mirror === undefined ? [] : [mirror]),
    ),
  );
  // Settings for the build do not belong to a server.
  rmSync(join(root, "etc/apt/apt.conf.d/99mmdebstrap"), { force: true });
  await customize(root);
}

async function buildEngine(recipe: Recipe, common: string, root: string): Promise<void> {
  await mustRun(["cp", "-a", "--reflink=auto", common, root]);
  const config = `${root}.apt.conf`;
  writeFileSync(
    config,
    [
      `Dir "${root}";`,
      `DPkg::Chroot-Directory "${root}";`,
      'APT::Install-Recommends "false";',
      'Acquire::Languages "none";',
      // Not the machine's own hooks: they may name programs that the image lacks.
      ...(await aptOptions()).map((line) => `${line};`),
      "",
    ].join("\n"),
  );
  try {
    const script = join(import.meta.dir, "install-packages.sh");
    await mustRun(
      ["unshare", "--mount", "--propagation", "private", "sh", script, root, config].concat(recipe.engines),
    );
  } finally {
    rmSync(config, { force: true });
  }
  for (const lists of ["var/lib/apt/lists", "var/cache/apt"]) {
    rmSync(join(root, lists), { recursive: true, force: true });
    mkdirSync(join(root, lists), { recursive: true });
  }
  if (existsSync(join(root, "usr/bin/podman"))) {
    // crun needs CAP_SYS_RESOURCE and the pids controller, which the lab's servers do not have.
    write(root, "etc/containers/containers.conf", '[containers]\npids_limit = 0\n\n[engine]\nruntime = "runc"\n');
    // The socket is the product's to enable.
    for (const unit of ["podman.socket", "podman.service", "podman-restart.service", "podman-auto-update.timer"]) {
      await mustRun(["chroot", root, "systemctl", "disable", "--quiet", unit]);
    }
  }
}

/** Units that a lab server does without: they slow down every start, or would touch the host machine. */
const maskedUnits: readonly string[] = [
  ...["console-getty.service", "getty@.service", "serial-getty@.service", "getty.target"],
  ...["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "e2scrub_all.timer"],
  ...["e2scrub_reap.service", "man-db.timer", "systemd-pstore.service", "systemd-networkd.service"],
  ...["systemd-networkd-wait-online.service", "systemd-modules-load.service", "systemd-binfmt.service"],
  ...["proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount", "systemd-timesyncd.service"],
  ...["systemd-udevd.service", "systemd-udev-trigger.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"],
  ...["dev-hugepages.mount", "dev-mqueue.mount", "sys-fs-fuse-connections.mount", "systemd-firstboot.service"],
];

/** What makes a plain Debian a lab server; nothing here differs between two servers. */
async function customize(root: string): Promise<void> {
  mkdirSync(join(root, "etc/systemd/system"), { recursive: true });
  for (const unit of maskedUnits) {
    const link = join(root, "etc/systemd/system", unit);
    rmSync(link, { recursive: true, force: true });
    symlinkSync("/dev/null", link);
  }
  keepNetworkSysctls(join(root, "usr/lib/sysctl.d"));
  for (const [user, comment] of [
    ["deploy", "may use sudo without a password"],
    ["plain", "may not use sudo"],
  ] as const) {
    await mustRun(["chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", "--comment", comment, user]);
  }
  write(root, "etc/sudoers.d/deploy", "deploy ALL=(ALL) NOPASSWD: ALL\n", 0o440);
  for (const file of readdirSync(join(root, "etc/ssh"))) {
    if (file.startsWith("ssh_host_")) rmSync(join(root, "etc/ssh", file));
  }
  // Each server has its own key from the start; making more of them at the first start takes time.
  await mustRun(["chroot", root, "systemctl", "disable", "--quiet", "sshd-keygen.service"]).catch(() => undefined);
  write(root, "etc/ssh/sshd_config.d/lab.conf", "HostKey /etc/ssh/ssh_host_ed25519_key\nMaxStartups 100\n");
  write(root, "etc/machine-id", "");
  await mustRun(["chroot", root, "systemctl", "set-default", "--quiet", "multi-user.target"]);
}

/** /proc/sys of a server is writable, so of the distribution's settings only those of its own network may be applied. */
function keepNetworkSysctls(directory: string): void {
  if (!existsSync(directory)) return;
  for (const file of readdirSync(directory)) {
    const path = join(directory, file);
    if (!file.endsWith(".conf")) continue;
    const lines = readFileSync(path, "utf8").split("\n");
    const kept = lines.filter((line) => /^\s*(#|$)/.test(line) || /^\s*-?net[./]/.test(line));
    rmSync(path);
    writeFileSync(path, kept.join("\n"));
  }
}

/** The Debian mirror that the machine itself uses; undefined: it uses none, and mmdebstrap knows its own default. */
async function configuredMirror(): Promise<string | undefined> {
  const targets = await mustRun([
    "apt-get",
    "indextargets",
    "Created-By: Packages",
    "Label: Debian",
    "--format",
    "$(REPO_URI)",
  ]);
  return targets.split("\n")[0]?.trim().replace(/\/$/, "") || undefined;
}

/** The machine's settings for reaching its mirror (proxy, certificates, tolerance of old lists), one per line. */
async function aptOptions(): Promise<string[]> {
  const dump = await mustRun(["apt-config", "dump"]);
  const wanted = /^Acquire::(https?|ftp)::|^Acquire::Check-|^Acquire::Retries|^Acquire::ForceIPv4/;
  const own = dump.split("\n").filter((line) => wanted.test(line) && !line.endsWith(' "";'));
  // The lists of a frozen mirror expire while the release still moves.
  return ['Acquire::Check-Valid-Until "false"', ...own.map((line) => line.trim().replace(/;$/, ""))];
}

function write(root: string, path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  chmodSync(join(root, path), mode);
}
