import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { JijiError } from "../../model/errors.ts";
import { CORROSION_VERSION, loadCorrosionRelease, type CorrosionSource } from "./release.ts";

/** A ustar archive of one file, as the release's archives are made. */
function tarOf(name: string, content: Uint8Array): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000755\0", 100);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("0", 156);
  header.write("ustar\0", 257);
  return Buffer.concat([header, content, Buffer.alloc(512 - (content.length % 512)), Buffer.alloc(1024)]);
}

const program = Buffer.from("not really corrosion");
const archive = gzipSync(tarOf("release/corrosion", program));
const sha256 = (content: Uint8Array): string => createHash("sha256").update(content).digest("hex");
const asset = "corrosion-x86_64-unknown-linux-gnu.tar.gz";

let certificates: string;
let server: ReturnType<typeof Bun.serve>;
let asked: string[];
let served: { digest: string | null; archive: Uint8Array; status: number };
let folder: string;

beforeAll(() => {
  certificates = mkdtempSync(join(tmpdir(), "jiji-tls-"));
  const made = Bun.spawnSync([
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
    ...["-keyout", join(certificates, "key.pem"), "-out", join(certificates, "cert.pem")],
  ]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { key: Bun.file(join(certificates, "key.pem")), cert: Bun.file(join(certificates, "cert.pem")) },
    fetch(request) {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      if (served.status !== 200) return new Response("no", { status: served.status });
      if (pathname === `/repos/superfly/corrosion/releases/tags/${CORROSION_VERSION}`) {
        return Response.json({
          assets: [
            { name: "other", digest: "sha256:00" },
            { name: asset, digest: served.digest },
          ],
        });
      }
      if (pathname === `/superfly/corrosion/releases/download/${CORROSION_VERSION}/${asset}`)
        return new Response(served.archive);
      return new Response("no", { status: 404 });
    },
  });
});

afterAll(async () => {
  await server.stop(true);
  rmSync(certificates, { recursive: true, force: true });
});

beforeEach(() => {
  asked = [];
  served = { digest: `sha256:${sha256(archive)}`, archive, status: 200 };
  folder = mkdtempSync(join(tmpdir(), "jiji-corrosion-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function source(): CorrosionSource {
  const url = `https://127.0.0.1:${server.port}`;
  const ca = readFileSync(join(certificates, "cert.pem"), "utf8");
  return { apiUrl: url, downloadUrl: url, fetch: (address, init) => fetch(address, { ...init, tls: { ca } }) };
}

const said: string[] = [];

async function load(): Promise<{ path: string; sha256: string; content: Uint8Array }> {
  return loadCorrosionRelease({
    arch: "x64",
    lockFile: join(folder, "jiji.lock.json"),
    cacheFolder: join(folder, "cache"),
    source: source(),
    say: (line) => said.push(line),
  });
}

async function refusal(): Promise<JijiError> {
  try {
    await load();
  } catch (error) {
    if (error instanceof JijiError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

const cachedProgram = (): string => join(folder, "cache/corrosion", CORROSION_VERSION, "x64/corrosion");
const cachedArchive = (): string => join(folder, "cache/corrosion", CORROSION_VERSION, "x64", asset);

describe("the official release", () => {
  test("the first download is checked against the release's digest and pinned beside deploy.yml", async () => {
    const first = await load();
    expect(Buffer.from(first.content).equals(program)).toBe(true);
    expect(first.path).toBe(cachedProgram());
    const lock = readFileSync(join(folder, "jiji.lock.json"), "utf8");
    expect(JSON.parse(lock)).toEqual({
      corrosion: {
        version: CORROSION_VERSION,
        files: { x64: { archiveSha256: sha256(archive), executableSha256: sha256(program) } },
      },
    });
    expect(lock).not.toContain("http");
    expect(said.join("\n")).toContain("it pins this Corrosion for everybody who uses the file");
  });

  test("the second time nothing is asked", async () => {
    await load();
    asked = [];
    expect((await load()).sha256).toBe(sha256(program));
    expect(asked).toEqual([]);
  });

  test("another machine with the lock file asks for the file alone, not for its digest", async () => {
    await load();
    rmSync(join(folder, "cache"), { recursive: true });
    asked = [];
    await load();
    expect(asked).toEqual([`/superfly/corrosion/releases/download/${CORROSION_VERSION}/${asset}`]);
  });

  // security-tests: changed-byte
  test("one changed byte in the download: refused, nothing kept", async () => {
    const changed = Buffer.from(archive);
    changed[20] = (changed[20] ?? 0) ^ 1;
    served.archive = changed;
    expect((await refusal()).message).toContain("is not what its digest says");
    expect(existsSync(join(folder, "jiji.lock.json"))).toBe(false);
    expect(existsSync(cachedArchive())).toBe(false);
    expect(existsSync(cachedProgram())).toBe(false);
  });

  // security-tests: changed-byte
  test("one changed byte in the cache: refused", async () => {
    await load();
    writeFileSync(cachedProgram(), "not really corrosioN");
    expect((await refusal()).message).toContain("corrosion is not the file that was checked before");
    rmSync(cachedProgram());
    writeFileSync(cachedArchive(), "x");
    expect((await refusal()).message).toContain(`${asset} is not the file that was checked before`);
  });

  test("a release whose file was replaced, seen by the lock file", async () => {
    await load();
    rmSync(join(folder, "cache"), { recursive: true });
    served.archive = gzipSync(tarOf("corrosion", Buffer.from("another")));
    served.digest = `sha256:${sha256(served.archive)}`;
    expect((await refusal()).message).toContain("is not what its digest says");
  });

  // security-tests: changed-byte
  test("a foreign lock file", async () => {
    const files = { x64: { archiveSha256: "0".repeat(64), executableSha256: "1".repeat(64) } };
    writeFileSync(join(folder, "jiji.lock.json"), JSON.stringify({ corrosion: { version: CORROSION_VERSION, files } }));
    expect((await refusal()).message).toContain("is not what its digest says");
    writeFileSync(join(folder, "jiji.lock.json"), "no JSON");
    expect((await refusal()).message).toContain("cannot be read as jiji's lock file");
  });

  test("no digest, no file, no server: what to do instead is said", async () => {
    served.digest = null;
    expect((await refusal()).message).toContain("states no digest");
    served.status = 503;
    const error = await refusal();
    expect(error.message).toContain("503");
    expect(error.hint).toContain("--corrosion-binary");
  });

  test("an archive without the program", async () => {
    served.archive = gzipSync(tarOf("README", program));
    served.digest = `sha256:${sha256(served.archive)}`;
    expect((await refusal()).message).toContain("does not hold the program");
  });
});
