import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory, makeOwnedDirectory } from "../../../tools/cache.ts";
import { expectSuccess } from "../../../lab/jiji.ts";
import type { Lab } from "../../../lab/lab.ts";
import { mustRun } from "../../../tools/run.ts";

/** What asks: glibc's getent, dig, kdig, Python with c-ares; busybox keeps the container alive. */
const PACKAGES = [
  "libc-bin",
  "bind9-dnsutils",
  "knot-dnsutils",
  "python3-minimal",
  "python3-pycares",
  "busybox-static",
];
const RELEASE = "trixie";
const SOURCES = ["ask.c", "ask.go", "ask-cares.py"];

/** To be raised when the image is made in another way. */
const RECIPE = 1;

export const clientImage = "jiji-clients:latest";

/** Whether Go's resolver can be built here. */
export const hasGo = Bun.which("go") !== null;

/** The image's file system as a tar file in the cache, made when it is not there (a minute, once). */
async function ensureArchive(): Promise<string> {
  const sources = SOURCES.map((name) => readFileSync(join(import.meta.dir, name), "utf8"));
  const hash = createHash("sha256")
    .update(JSON.stringify([RECIPE, RELEASE, PACKAGES, hasGo, sources]))
    .digest("hex")
    .slice(0, 12);
  const archive = join(cacheDirectory(), `dns-clients-${hash}.tar`);
  if (existsSync(archive)) return archive;
  makeOwnedDirectory(cacheDirectory());
  const work = join(cacheDirectory(), `.dns-clients-${process.pid}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  try {
    const root = join(work, "root");
    await extract(PACKAGES, root);
    for (const folder of ["bin", "sbin", "lib", "lib64"]) symlinkSync(`usr/${folder}`, join(root, folder));
    for (const folder of ["doc", "man", "locale"])
      rmSync(join(root, "usr/share", folder), { recursive: true, force: true });
    await compile(work, join(root, "usr/bin"));
    await mustRun(["tar", "-C", root, "-cf", join(work, "archive"), "."]);
    renameSync(join(work, "archive"), archive);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return archive;
}

async function extract(packages: readonly string[], root: string): Promise<void> {
  const options = ["--mode=root", "--variant=extract", '--aptopt=Acquire::Check-Valid-Until "false"'];
  await mustRun(["mmdebstrap", "--quiet", ...options, `--include=${packages.join(",")}`, RELEASE, root]);
}

/** musl's and Go's clients, linked whole, and the script for c-ares. */
async function compile(work: string, target: string): Promise<void> {
  const musl = join(work, "musl");
  await extract(["musl-dev"], musl);
  const [libraries = ""] = [...new Bun.Glob("usr/lib/*-linux-musl").scanSync({ cwd: musl, onlyFiles: false })];
  const triple = libraries.split("/").at(-1) ?? "";
  const part = (name: string): string => join(musl, libraries, name);
  const libgcc = (await mustRun(["cc", "-print-libgcc-file-name"])).trim();
  const headers = ["-nostdinc", "-isystem", join(musl, "usr/include", triple)];
  const source = join(import.meta.dir, "ask.c");
  const parts = [part("crt1.o"), part("crti.o"), source, part("libc.a"), libgcc, part("crtn.o")];
  await mustRun(["cc", "-static", "-no-pie", ...headers, "-nostdlib", ...parts, "-o", join(target, "ask-musl")]);
  copyFileSync(join(import.meta.dir, "ask-cares.py"), join(target, "ask-cares"));
  chmodSync(join(target, "ask-cares"), 0o755);
  if (!hasGo) return;
  const environment = ["CGO_ENABLED=0", "GO111MODULE=off", `GOCACHE=${join(work, "go")}`];
  await mustRun(["env", ...environment, "go", "build", "-o", join(target, "ask-go"), join(import.meta.dir, "ask.go")]);
}

/** Puts the image into a server's engine. */
export async function loadClientImage(lab: Lab, server: string, engine: "docker" | "podman"): Promise<void> {
  const archive = await ensureArchive();
  const target = lab.servers.find(({ name }) => name === server);
  if (target === undefined) throw new Error(`there is no server ${server}`);
  copyFileSync(archive, join(target.root, "root/clients.tar"));
  const argv = [engine, "import", "--change", 'CMD ["busybox", "sleep", "100000"]', "/root/clients.tar", clientImage];
  expectSuccess(await lab.exec(server, argv, { timeoutMs: 120_000 }), `${server}: ${engine} import`);
  rmSync(join(target.root, "root/clients.tar"));
}
