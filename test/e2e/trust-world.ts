import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { expectSuccess, runJiji, type JijiOptions } from "../../lab/jiji.ts";
import type { ExecResult, Lab } from "../../lab/lab.ts";
import { parseIdentityFile } from "../../src/model/identity.ts";
import { parseIdentityPublicKey, serverIdOf, type IdentityPublicKey, type ServerId } from "../../src/model/keys.ts";
import { PATHS } from "../../src/model/paths.ts";

/** What everybody on a terminal could be fooled by: controls but line ends, and characters that turn the writing around. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
export const FOOLING = /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u200E\u200F\u202A-\u202E\u2066-\u2069]/u;

/** A lab whose commands' whole output is kept. */
export class TrustWorld {
  readonly lab: Lab;
  /** everything that jiji has said so far */
  said = "";

  constructor(lab: Lab) {
    this.lab = lab;
  }

  async must(server: string, ...argv: readonly string[]): Promise<string> {
    const result = await this.lab.exec(server, argv, { timeoutMs: 60_000 });
    return expectSuccess(result, `${server}: ${argv.join(" ")}`).stdout.trim();
  }

  async jiji(args: readonly string[], options: JijiOptions = {}): Promise<ExecResult> {
    const result = await runJiji(this.lab, args, options);
    this.said += result.stdout + result.stderr;
    return result;
  }

  /** Runs a program as one of a server's users, with the groups of its service; resolves whatever its exit code. */
  async as(server: string, user: string, argv: readonly string[], input?: string): Promise<ExecResult> {
    const group = user === "nobody" ? "nogroup" : user;
    const groups = user === "jiji-dns" ? "--groups=jiji" : "--clear-groups";
    const all = ["setpriv", `--reuid=${user}`, `--regid=${group}`, groups, ...argv];
    return this.lab.exec(server, all, { timeoutMs: 60_000, ...(input === undefined ? {} : { input }) });
  }

  /** Everything on a server that nobody else may know, read as root. */
  async secretsOf(server: string): Promise<readonly string[]> {
    const identity = JSON.parse(await this.must(server, "cat", PATHS.identity)) as { privateKey: string };
    const [key, token] = await Promise.all(
      [PATHS.wireguardKey, PATHS.corrosionToken].map((path) => this.must(server, "cat", path)),
    );
    return [identity.privateKey, key ?? "", token ?? ""];
  }

  /** Files on a server that hold one of these texts, as far as a user can read them. */
  async filesWith(server: string, user: string, texts: readonly string[]): Promise<readonly string[]> {
    const folders = ["/opt", "/etc", "/run", "/var", "/tmp", "/root", "/home", "/usr/local"];
    const found = await this.as(server, user, ["grep", "-rslF", "-f", "-", ...folders], `${texts.join("\n")}\n`);
    return found.stdout.split("\n").filter((line) => line !== "");
  }

  /** Asks a server's own Corrosion, as only root and Corrosion's user can. */
  async store(server: string, route: "transactions" | "queries", body: unknown): Promise<string> {
    const token = await this.must(server, "cat", PATHS.corrosionToken);
    const head = ["-H", "content-type: application/json", "-H", `authorization: Bearer ${token}`];
    const argv = ["curl", "-s", "-m", "10", ...head, "-d", "@-", `http://127.0.0.1:31220/v1/${route}`];
    const result = await this.lab.exec(server, argv, { input: JSON.stringify(body), timeoutMs: 20_000 });
    return expectSuccess(result, `${server}: ${route}`).stdout;
  }
}

/** Somebody with an identity key, and records of it that no honest program would sign. */
export class Signer {
  readonly idKey: IdentityPublicKey;
  readonly id: ServerId;
  readonly #key: KeyObject;

  constructor(key: KeyObject, idKey: IdentityPublicKey) {
    this.#key = key;
    this.idKey = idKey;
    this.id = serverIdOf(idKey);
  }

  static fresh(): Signer {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64");
    const idKey = parseIdentityPublicKey(raw);
    if (idKey === undefined) throw new Error("no key");
    return new Signer(privateKey, idKey);
  }

  /** A server's own, from its identity.json. */
  static from(identityFile: string): Signer {
    const parsed = parseIdentityFile(identityFile);
    if (parsed === undefined) throw new Error("no identity");
    return new Signer(parsed.privateKey, parsed.identity.idKey);
  }

  /** A good record but for what is given, signed as the text that it is. */
  row(
    changes: Readonly<Record<string, unknown>>,
    id: string = this.id,
  ): readonly [id: string, record: string, sig: string] {
    const record = JSON.stringify({
      name: "newcomer",
      subnet: 77,
      publicKey: Buffer.from(this.id.repeat(2), "hex").toString("base64"),
      idKey: this.idKey,
      endpoints: ["198.51.100.99:31820"],
      nat: false,
      version: "0.1.0",
      rev: 9_000_000_000_000,
      ...changes,
    });
    const text = Buffer.from(`jiji server record\n${record}`, "utf8");
    return [id, record, sign(null, text, this.#key).toString("base64")];
  }
}
