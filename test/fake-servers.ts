import { judgeStatus } from "../src/model/node/status-findings.ts";
import { makeFacts } from "./mesh-makers.ts";
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { PATHS } from "../src/model/paths.ts";
import { EMPTY_MEMBERS } from "../src/model/members-file.ts";
import { parseIdentityPublicKey, serverIdOf, type WireGuardPublicKey } from "../src/model/keys.ts";
import type { Identity } from "../src/model/identity.ts";
import type { MembersFile } from "../src/model/members-file.ts";
import { digestOf, linesOf } from "../src/node/dns.ts";
import type { DnsListing } from "../src/model/node/dns.ts";
import type { ResolveLine } from "../src/model/node/resolve.ts";
import type { ApplyEvent, ShownStep } from "../src/model/node/apply.ts";
import type { Failure } from "../src/model/node/failure.ts";
import type { NodeFacts } from "../src/model/node/observe.ts";
import type { QueryRequest } from "../src/model/node/query.ts";
import type { NodeStatus } from "../src/model/node/status.ts";
import {
  REMOTE_SUBCOMMANDS,
  SUBCOMMANDS,
  type CheckedRequestOf,
  type RemoteSubcommand,
} from "../src/model/node/subcommands.ts";
import type { NodeSpec } from "../src/model/node-spec.ts";
import { ABSENT, found, type Reading } from "../src/model/reading.ts";
import { signServerRecord, verifyServerRecord, type SignedServerRecord } from "../src/model/server-record.ts";
import type { BootstrapScript } from "../src/system/bootstrap-script.ts";
import {
  ConnectError,
  type Connection,
  type ServerProbe,
  type Session,
  type SessionEnd,
  type Ssh,
} from "../src/system/connection.ts";

/**
 * Servers in memory that answer what the CLI asks over ssh, as far as the CLI can see the difference: they keep a lock,
 * uploads, an identity, a spec and members, and plan by comparing.
 */
export class FakeServer {
  readonly name: string;
  readonly probe: { -readonly [Key in keyof ServerProbe]: ServerProbe[Key] };
  facts: NodeFacts;
  /** thrown at the login */
  refusal: ConnectError | undefined;
  lockHolder: string | undefined;
  /** said instead of an answer, by subcommand or phase */
  readonly failures = new Map<string, { message: string; hint?: string }>();
  /** what was asked of it, in order: scripts, subcommands and phases */
  readonly log: string[] = [];
  /** what its jiji-dns publishes, and answers */
  listing: Omit<DnsListing, "digest"> | undefined;
  /** further answers, by subcommand: all lines to a request */
  readonly answers = new Map<RemoteSubcommand, (request: never) => readonly unknown[]>();
  /** what `jiji node query` answers, as lines; each is made when it is asked for */
  queryLines: ((request: QueryRequest) => Iterable<string>) | undefined;
  status: Partial<NodeStatus> = {};
  #privateKey: KeyObject | undefined;
  readonly #rev = 1;

  constructor(name: string) {
    this.name = name;
    this.probe = {
      system: "Linux",
      machine: "x86_64",
      privilege: "root",
      systemd: true,
      libc: { kind: "glibc", version: "2.41" },
      installed: new Map<string, number>(),
      staged: new Set<string>(),
      spec: "",
    };
    this.facts = makeFacts();
  }

  change(facts: Partial<NodeFacts>): void {
    this.facts = { ...this.facts, ...facts };
  }

  get staged(): Set<string> {
    return this.probe.staged as Set<string>;
  }

  get members(): MembersFile {
    return this.facts.members.state === "found" ? this.facts.members.value : EMPTY_MEMBERS;
  }

  /** Sizes as the probe reports them. */
  install(path: string, sizeBytes: number): void {
    (this.probe.installed as Map<string, number>).set(path, sizeBytes);
  }

  connection(): Connection {
    return { probe: { ...this.probe }, start: (script) => this.#start(script), close: async () => undefined };
  }

  #start(script: Exclude<BootstrapScript, "probe">): Session {
    this.log.push(script);
    return fakeSession((input) => {
      if (script === "receive") return this.#receive(input);
      if (script === "unstage") {
        for (const hash of input.toString("utf8").trim().split("\n")) this.staged.delete(hash);
        return { code: 0 };
      }
      return this.#answer(input);
    });
  }

  #receive(input: Buffer): Answer | undefined {
    const lineEnd = input.indexOf(10);
    const [hash = "", size] = input.toString("utf8", 0, lineEnd).split(" ");
    const content = gunzipSync(input.subarray(lineEnd + 1));
    if (createHash("sha256").update(content).digest("hex") !== hash || content.length !== Number(size)) {
      return { code: 66, stderr: "jiji: what arrived is not what was sent\n" };
    }
    this.staged.add(hash);
    return { code: 0 };
  }

  #answer(input: Buffer): Answer | undefined {
    const [head = "", body, ...rest] = input.toString("utf8").split("\n");
    if (body === undefined || rest.length === 0) return undefined;
    const [hash = "", name = ""] = head.split(" ");
    if (!this.staged.has(hash) && !this.probe.installed.has(PATHS.executable)) {
      return { code: 69, stderr: "jiji: not installed\n" };
    }
    const subcommand = REMOTE_SUBCOMMANDS.find((each) => each === name);
    if (subcommand === undefined) return { code: 64, stderr: "jiji: malformed request\n" };
    const request = SUBCOMMANDS[subcommand].request.parse(JSON.parse(body)) as never;
    const failure = this.failures.get(subcommand);
    if (failure !== undefined) return { lines: [{ type: "failed", ...failure }], code: 1 };
    if (subcommand === "lock") return this.#lock(request);
    if (subcommand === "observe") return { lines: [this.facts], code: 0 };
    if (subcommand === "status") return { lines: [this.#status()], code: 0 };
    if (subcommand === "query") return { texts: this.queryLines?.(request) ?? [], code: 0 };
    const answer = this.answers.get(subcommand);
    if (answer !== undefined) return { lines: answer(request), code: 0 };
    if (subcommand === "dns") return { lines: this.#listedLines(request), code: 0 };
    if (subcommand === "resolve") return { lines: this.#resolvedLines(request), code: 0 };
    return { lines: this.#apply(request), code: 0 };
  }

  #lock({ holder }: CheckedRequestOf<"lock">): Answer {
    if (this.lockHolder !== undefined) {
      return { lines: [{ type: "busy", holder: this.lockHolder }], code: 1 };
    }
    this.lockHolder = holder;
    this.log.push(`locked`);
    const onEnd = (): void => {
      this.lockHolder = undefined;
      this.log.push("unlocked");
    };
    return { lines: [{ type: "held" }], code: 0, holdsUntilEnd: onEnd };
  }

  #listedLines({ filter, detail }: CheckedRequestOf<"dns">): readonly unknown[] {
    if (this.listing === undefined) return [{}];
    const names = this.listing.names.filter(({ name }) => name.includes(filter ?? ""));
    return [...linesOf({ ...this.listing, names, digest: digestOf(names) }, detail)];
  }

  #resolvedLines({ names }: CheckedRequestOf<"resolve">): readonly ResolveLine[] {
    const answers = names.map((name): ResolveLine => {
      const known = this.listing?.names.find((each) => each.name === name);
      const addresses = (known?.records ?? []).flatMap(({ address, answered }) => (answered ? [address ?? ""] : []));
      const rcode = known === undefined ? "NXDOMAIN" : "NOERROR";
      return { type: "answer", name, rcode, addresses, ttlSeconds: 60, transport: "udp", latencyMs: 0.3 };
    });
    return [...answers, { type: "resolved", endpoint: "10.210.0.1:53", isSettled: true }];
  }

  #apply({ goal, dryRun }: CheckedRequestOf<"apply">): readonly (ApplyEvent | Failure)[] {
    this.log.push(`${dryRun ? "plan" : "apply"} ${goal.phase}`);
    const failure = this.failures.get(`${dryRun ? "plan" : "apply"} ${goal.phase}`);
    if (failure !== undefined) return [{ type: "failed", ...failure }];
    const steps = this.#stepsFor(goal);
    const plan: ApplyEvent = { type: "plan", steps };
    if (dryRun) return [plan, { type: "done", notes: [] }];
    const events: ApplyEvent[] = [plan];
    for (const index of steps.keys()) {
      events.push({ type: "step", index, state: "started" }, { type: "step", index, state: "done" });
    }
    const record = this.#execute(goal);
    return [...events, { type: "done", notes: [], ...(record === undefined ? {} : { record }) }];
  }

  #stepsFor(goal: Goal): readonly ShownStep[] {
    const step = (kind: string, verb: string, target: string, details: string[] = []) => {
      return { kind, verb, target, summary: `${verb} ${target}`, ...(details.length === 0 ? {} : { details }) };
    };
    const has = <T>(reading: Reading<T>): boolean => reading.state === "found";
    if (goal.phase === "teardown") {
      return has(this.facts.identity)
        ? [step("unit", "stop", "wg-quick@jiji0.service"), step("file", "remove", PATHS.spec)]
        : [];
    }
    const identity = has(this.facts.identity) ? [] : [step("identity", "create", PATHS.identity)];
    if (goal.phase === "prepare") return identity;
    const { spec } = this.facts;
    const differs = spec.state !== "found" || JSON.stringify(spec.value) !== JSON.stringify(goal.spec);
    const known = new Set(this.members.members.map(({ id }) => id));
    const own = this.facts.identity.state === "found" ? this.facts.identity.value.id : undefined;
    const names = [
      ...goal.members.filter(({ id }) => !known.has(id) && id !== own).map((signed) => nameOf(signed)),
      ...goal.expected.map(({ name }) => name).filter((name) => name !== goal.spec.name),
    ];
    return [
      ...identity,
      ...(differs
        ? [step("file", "create", PATHS.spec, ["+ version 1"]), step("unit", "start", "wg-quick@jiji0.service")]
        : []),
      ...names.map((name) => step("peer", "create", `peer ${name}`)),
    ];
  }

  #execute(goal: Goal): SignedServerRecord | undefined {
    if (goal.phase === "teardown") {
      this.change({ identity: ABSENT, spec: ABSENT, members: ABSENT });
      this.probe.spec = "";
      (this.probe.installed as Map<string, number>).clear();
      return undefined;
    }
    const { sizeBytes } = fakeRelease();
    this.install(PATHS.executable, sizeBytes);
    if (goal.spec.release.corrosion !== undefined) this.install(PATHS.corrosionExecutable, fakeCorrosion.length);
    this.staged.clear();
    const record = this.#record(goal.spec);
    if (goal.phase === "join") {
      this.change({
        spec: found(goal.spec),
        release: { jiji: found(goal.spec.release.jiji.version) },
      });
      this.probe.spec = JSON.stringify(goal.spec);
      const newest = new Map([...this.members.members, ...goal.members].map((signed) => [signed.id, signed]));
      this.change({ members: found({ version: 1, members: [...newest.values()], removed: [] }) });
    }
    return record;
  }

  #record(spec: NodeSpec): SignedServerRecord {
    if (this.facts.identity.state !== "found" || this.#privateKey === undefined) {
      const { publicKey, privateKey } = generateKeyPairSync("ed25519");
      const idKey = parseIdentityPublicKey(
        publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64"),
      )!;
      this.#privateKey = privateKey;
      const identity: Identity = { id: serverIdOf(idKey), idKey, name: spec.name, subnet: spec.subnet };
      this.change({ identity: found(identity) });
    }
    const identity = (this.facts.identity as { value: Identity }).value;
    return signServerRecord(
      {
        name: identity.name,
        subnet: identity.subnet,
        publicKey: fakeWireGuardKey(this.name),
        idKey: identity.idKey,
        endpoints: spec.endpoints,
        nat: spec.nat,
        version: spec.release.jiji.version,
        rev: this.#rev,
      },
      this.#privateKey,
    );
  }

  #status(): NodeStatus {
    const { identity } = this.facts;
    const own = identity.state === "found" ? identity.value.id : undefined;
    const members = this.members.members.flatMap((signed) => {
      const verified = verifyServerRecord(signed);
      return verified.ok ? [verified.member] : [];
    });
    const status: Omit<NodeStatus, "findings"> = {
      identity,
      version: "0.1.0",
      members: members.map(({ id, name, subnet }) => ({ id, name, subnet, firstSeenMs: null })),
      wireguard: found({
        peers: members
          .filter(({ id }) => id !== own)
          .map(({ id, name, endpoints }) => ({
            id,
            name,
            endpoint: endpoints[0] ?? null,
            handshakeAgeSeconds: 12,
            receivedBytes: 1000,
            sentBytes: 2000,
            fullSizePacket: true,
            roundTripMs: 1.2,
          })),
      }),
      units: { "jiji-agent.service": "active" },
      store: found({ kind: "corrosion", rows: 7, sizeBytes: 120_000 }),
      dns: found({ udp: true, tcp: true, latencyMs: 0.4 }),
      agent: found({ ready: true }),
      engine: found({ kind: "docker", version: "28.5.2" }),
      containers: found({ healthy: 2, starting: 0 }),
      ...this.status,
    };
    const peers = members.filter(({ id }) => id !== own);
    return { ...status, findings: this.status.findings ?? judgeStatus(status, found(members), peers) };
  }
}

function nameOf(signed: SignedServerRecord): string {
  return (JSON.parse(signed.record) as { name: string }).name;
}

function fakeWireGuardKey(name: string): WireGuardPublicKey {
  return createHash("sha256").update(name).digest("base64") as WireGuardPublicKey;
}

type Goal = CheckedRequestOf<"apply">["goal"];

interface Answer {
  readonly lines?: readonly unknown[];
  /** instead of `lines`: as they are */
  readonly texts?: Iterable<string>;
  readonly code: number;
  readonly stderr?: string;
  /** the program goes on until its standard input is closed */
  readonly holdsUntilEnd?: () => void;
}

/** Collects input and answers as soon as the handler has enough of it; at the end of the input it must. */
function fakeSession(handle: (input: Buffer) => Answer | undefined): Session {
  const chunks: Buffer[] = [];
  let answer: Answer | undefined;
  let isEnded = false;
  const finished = Promise.withResolvers<SessionEnd>();
  const answered = Promise.withResolvers<Answer>();
  const finish = (): void => {
    if (answer === undefined) return;
    if (answer.holdsUntilEnd !== undefined && !isEnded) return;
    answer.holdsUntilEnd?.();
    finished.resolve({ code: answer.code, stderr: answer.stderr ?? "", lost: false });
  };
  const look = (): void => {
    if (answer !== undefined) return;
    try {
      answer = handle(Buffer.concat(chunks));
    } catch (error) {
      // An upload that is not whole yet cannot be unpacked.
      if (isEnded) answer = { code: 1, stderr: String(error) };
    }
    if (answer !== undefined) answered.resolve(answer);
    finish();
  };
  const end = (): void => {
    if (isEnded) return;
    isEnded = true;
    look();
    if (answer === undefined) {
      answer = { code: 1, stderr: "the request broke off" };
      answered.resolve(answer);
    }
    finish();
  };
  return {
    async write(data) {
      chunks.push(Buffer.from(data));
      if (Buffer.concat(chunks).length < 100_000) look();
    },
    end,
    kill: end,
    exited: finished.promise,
    lines: (async function* () {
      const { lines = [], texts } = await answered.promise;
      for (const line of lines) yield JSON.stringify(line);
      if (texts !== undefined) yield* texts;
    })(),
  };
}

/** The fake servers by host, and what `ssh -G` would say of an alias. */
export class FakeSsh implements Ssh {
  readonly servers: ReadonlyMap<string, FakeServer>;
  isClosed = false;

  constructor(servers: readonly FakeServer[]) {
    this.servers = new Map(servers.map((server) => [server.name, server]));
  }

  async resolve({ host, user, port }: Parameters<Ssh["resolve"]>[0]): ReturnType<Ssh["resolve"]> {
    return { hostName: host, user: user ?? "root", port: port ?? 22, viaProxy: false };
  }

  async connect({ host }: Parameters<Ssh["connect"]>[0]): Promise<Connection> {
    const server = this.servers.get(host);
    if (server === undefined)
      throw new ConnectError("unreachable", "it did not answer within 30 s", "check that it is up");
    if (server.refusal !== undefined) throw server.refusal;
    return server.connection();
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

/** Content that passes for the executable: what matters is that its hash and size are the release's. */
export const fakeExecutable = Buffer.alloc(5000, "jiji");

/** An ELF header for x64, so that it passes for Corrosion. */
export const fakeCorrosion = Buffer.concat([
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]),
  Buffer.alloc(12),
  Buffer.from([62, 0]),
  Buffer.alloc(100),
]);

export function fakeRelease(): { readonly sha256: string; readonly sizeBytes: number } {
  return { sha256: createHash("sha256").update(fakeExecutable).digest("hex"), sizeBytes: fakeExecutable.length };
}
