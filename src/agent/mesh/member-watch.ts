import type { KeyObject } from "node:crypto";
import { messageOf } from "../../model/errors.ts";
import { changeMembers, loadMembers } from "../../apply/members-file.ts";
import type { ClusterCidr } from "../../model/cluster.ts";
import type { Identity } from "../../model/identity.ts";
import { parseServerId } from "../../model/keys.ts";
import { EMPTY_MEMBERS, type MembersFile } from "../../model/members-file.ts";
import { admitRecords, freeNumbers, noteFirstSeen, verifiedMembers, type Refusal } from "../../model/membership.ts";
import { PATHS } from "../../model/paths.ts";
import { isNewer, nextRev } from "../../model/revision.ts";
import {
  signServerRecord,
  verifyServerRecord,
  type Member,
  type SignedServerRecord,
} from "../../model/server-record.ts";
import { SUBSCRIPTIONS } from "../../store/queries.ts";
import type { Row, StoreClient, SubscriptionEvent } from "../../store/store.ts";
import { known } from "../../model/reading.ts";
import type { Clock, Files, Log } from "../../system/host.ts";
import { OnceLog } from "../log.ts";
import { TokenBucket } from "../../model/token-bucket.ts";
import { Backoff, Wake } from "../wake.ts";

/** Makes the tunnel's peers and their routes what the members say. Adds and changes; never removes on silence. */
export interface Peers {
  reconcile(members: readonly Member[]): Promise<void>;
}

export interface MemberWatchOptions {
  readonly identity: Identity;
  readonly privateKey: KeyObject;
  readonly cluster: ClusterCidr;
  readonly store: StoreClient;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  readonly peers: Peers;
  /** called with every change, first as soon as members.json was read */
  readonly onChange: (members: readonly Member[]) => void;
  /** everything is looked at again after this long without a reason */
  readonly lookMs?: number;
}

/**
 * Rows of the store that are looked at: eight times what a cluster has numbers for. Any member can write more, and each
 * costs every server memory and the check of a signature.
 */
const MAX_ROWS = 2_048;

/** Refusals that the log names at once, and again in each minute. Of further ones it says only how many. */
const MAX_REFUSALS = 20;

/**
 * After work that the store's rows have caused there is a pause: PAUSE_SHARE times as long as the work took, within these
 * bounds. A flood of changed rows must not keep a core busy. Work for an operator's command does not wait.
 */
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;
const PAUSE_SHARE = 4;

const LOOK_MS = 60_000;

const UPSERT =
  "INSERT INTO servers (id, record, sig) VALUES (?, ?, ?) " +
  "ON CONFLICT (id) DO UPDATE SET record = excluded.record, sig = excluded.sig";

const FREED =
  "SELECT id FROM removed_servers WHERE octet_length(id) <= 64 AND octet_length(record) <= 1024 " +
  "AND CASE WHEN json_valid(record) THEN json_type(record, '$.subnet') END = 'null' LIMIT 1000";

/**
 * Keeps this server's own signed row in the store, learns the others' rows from it, remembers them in members.json and has
 * the peers follow. Works without the store on what members.json says.
 */
export function startMemberWatch(options: MemberWatchOptions): MemberWatch {
  return new MemberWatch(options);
}

export class MemberWatch {
  readonly #options: MemberWatchOptions;
  readonly #stop = new AbortController();
  readonly #wake = new Wake();
  readonly #fileWake = new Wake();
  readonly #refusals: OnceLog;
  readonly #refusalsAllowed: TokenBucket;
  readonly #sumsAllowed: TokenBucket;
  readonly #done: Promise<unknown>;
  #known: MembersFile = EMPTY_MEMBERS;
  #members: readonly Member[] = [];
  /** the subscription's rows; undefined until the first whole snapshot, and while the store is away */
  #stored: StoredRows | undefined;
  /** the same by id, as they were when looking began */
  #rows: ReadonlyMap<string, SignedServerRecord> | undefined;
  /** ends the subscription, so that another one tells all rows again */
  #unsubscribe: (() => void) | undefined;
  /** whether rows of the store have changed since the last look began */
  #hasNewRows = false;
  #reconciledText = "";
  #complaint = "";

  constructor(options: MemberWatchOptions) {
    this.#options = options;
    this.#refusals = new OnceLog(options.log);
    const nowMs = options.clock.monotonicMs();
    this.#refusalsAllowed = new TokenBucket({ burst: MAX_REFUSALS, perSecond: MAX_REFUSALS / 60 }, nowMs);
    this.#sumsAllowed = new TokenBucket({ burst: 1, perSecond: 1 / 60 }, nowMs);
    this.#done = Promise.all([this.#work(), this.#subscribe()]);
  }

  /** Says that members.json may have changed. */
  fileChanged(): void {
    this.#fileWake.call();
    this.#wake.call();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake.call();
    await this.#done;
  }

  async #work(): Promise<void> {
    const { clock, log, lookMs = LOOK_MS } = this.#options;
    const backoff = new Backoff();
    while (!this.#stop.signal.aborted) {
      try {
        const startMs = clock.monotonicMs();
        const isForRows = this.#hasNewRows;
        await this.#lookOnce();
        this.#complaint = "";
        backoff.reset();
        if (isForRows) await this.#rest(clock.monotonicMs() - startMs);
        const isCalm = !(await this.#wake.sleep(clock, lookMs, this.#stop.signal));
        if (isCalm && this.#stored?.hasRoom === true) this.#unsubscribe?.();
      } catch (error) {
        const why = messageOf(error);
        if (this.#stop.signal.aborted) return;
        if (this.#complaint !== why) log.warn(`members: ${why}; trying again`);
        this.#complaint = why;
        await clock.sleep(backoff.nextMs(), this.#stop.signal).catch(() => undefined);
      }
    }
  }

  async #lookOnce(): Promise<void> {
    this.#hasNewRows = false;
    this.#rows = this.#stored?.byId();
    this.#known = known(await loadMembers(this.#options.files), PATHS.members) ?? EMPTY_MEMBERS;
    this.#show();
    await this.#freeNumbers();
    await this.#learn();
    await this.#writeOwnRow();
    await this.#reconcile();
  }

  /** Changes members.json when that changes anything of what it said at the last look. */
  async #remember(change: (file: MembersFile) => MembersFile): Promise<void> {
    if (change(this.#known) === this.#known) return;
    this.#known = await changeMembers(this.#options.files, change);
    this.#show();
  }

  #show(): void {
    const members = verifiedMembers(this.#known);
    const before = new Set(this.#members.map(({ id }) => id));
    const isFirst = this.#members.length === 0;
    if (JSON.stringify(members) === JSON.stringify(this.#members)) return;
    this.#members = members;
    for (const { id, name, subnet } of members) {
      if (!before.has(id) && !isFirst) this.#options.log.info(`members: ${name} joined (number ${subnet}, ${id})`);
    }
    this.#options.onChange(members);
  }

  async #learn(): Promise<void> {
    const { identity, cluster, clock } = this.#options;
    // the own record is never learned
    const rows = [...(this.#rows?.values() ?? [])].filter(({ id, record }) => id !== identity.id && record !== "");
    if (this.#rows !== undefined) this.#refuse(admitRecords(this.#known, rows, cluster).refusals);
    const nowMs = clock.nowMs();
    await this.#remember((file) => noteFirstSeen(admitRecords(file, rows, cluster).file, nowMs));
  }

  #refuse(refusals: readonly Refusal[]): void {
    const nowMs = this.#options.clock.monotonicMs();
    const news = refusals.filter(({ id, why }) => !this.#refusals.hasSaid(id, why));
    const named = news.filter(() => this.#refusalsAllowed.take(nowMs));
    for (const { id, why } of named) {
      this.#refusals.warn(id, why, `members: the store's row of ${id} is not believed: ${why}`);
    }
    const more = news.length - named.length;
    if (more > 0 && this.#sumsAllowed.take(nowMs)) {
      this.#options.log.warn(`members: ${more} more of the store's rows are not believed`);
    }
    this.#refusals.retain(new Set(refusals.map(({ id }) => id)));
  }

  async #rest(tookMs: number): Promise<void> {
    const pauseMs = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, tookMs * PAUSE_SHARE));
    await this.#fileWake.sleep(this.#options.clock, pauseMs, this.#stop.signal);
  }

  async #writeOwnRow(): Promise<void> {
    const { identity, store, log } = this.#options;
    if (ownRecord(this.#known, identity) === undefined) {
      throw new Error(`${PATHS.members} has no record of this server; run jiji network setup`);
    }
    if (this.#rows === undefined) return;
    const stored = this.#rows.get(identity.id);
    await this.#remember((file) => this.#outdoing(file, stored));
    const own = ownRecord(this.#known, identity);
    if (own === undefined || (stored?.record === own.record && stored.sig === own.sig)) return;
    await store.transact([{ sql: UPSERT, params: [own.id, own.record, own.sig] }], { signal: this.#stop.signal });
    log.info(`members: wrote this server's row (number ${identity.subnet})`);
    this.#rows = new Map(this.#rows).set(own.id, own);
  }

  /**
   * The file with this server's own record newer than its row in the store. When the row is newer, members.json was put back
   * to an older state after the row was written; the others keep to the larger rev.
   */
  #outdoing(file: MembersFile, stored: SignedServerRecord | undefined): MembersFile {
    const { identity, privateKey, clock } = this.#options;
    const own = ownRecord(file, identity);
    if (own === undefined || (stored?.record === own.record && stored.sig === own.sig)) return file;
    const verified = verifyServerRecord(own);
    if (!verified.ok) throw new Error(`this server's record in ${PATHS.members} is not valid: ${verified.why}`);
    const theirs = stored === undefined ? undefined : verifyServerRecord(stored);
    if (theirs?.ok !== true || isNewer(verified.member, theirs.member)) return file;
    const rev = nextRev(theirs.member.rev, clock.nowMs());
    const row = signServerRecord({ ...verified.member, rev }, privateKey);
    return { ...file, members: file.members.map((signed) => (signed.id === identity.id ? row : signed)) };
  }

  async #reconcile(): Promise<void> {
    await this.#options.peers.reconcile(this.#members);
    const text = this.#members.map(({ id, rev }) => `${id} ${rev}`).join("\n");
    if (text !== this.#reconciledText) this.#options.log.info(`peers: ${this.#members.length - 1} in place`);
    this.#reconciledText = text;
  }

  /** `gc --force` frees numbers on the servers that it can ask; this one may have slept, and learns it from the store. */
  async #freeNumbers(): Promise<void> {
    if (this.#rows === undefined || this.#known.removed.every(({ subnet }) => subnet === null)) return;
    const { identity, store } = this.#options;
    const { rows } = await store.query({ sql: FREED }, { signal: this.#stop.signal });
    const freed = new Set(rows.map(([id]) => id));
    // Only of servers whose removal an operator has brought here: the store alone removes nobody.
    await this.#remember((file) =>
      freeNumbers(
        file,
        file.removed.filter(({ id }) => freed.has(id)),
        identity.id,
      ),
    );
  }

  async #subscribe(): Promise<void> {
    const { store, clock } = this.#options;
    const signal = this.#stop.signal;
    const backoff = new Backoff();
    while (!signal.aborted) {
      let close = (): void => undefined;
      try {
        const subscription = await store.subscribe({ sql: SUBSCRIPTIONS.servers }, { signal });
        close = (): void => subscription.close();
        this.#unsubscribe = close;
        signal.addEventListener("abort", close, { once: true });
        const { identity } = this.#options;
        const rows = new StoredRows(
          (id) => id === identity.id || this.#known.members.some((member) => member.id === id),
        );
        let isWhole = false;
        let hasSaid = false;
        for await (const event of subscription) {
          backoff.reset();
          if (event.type === "ready") isWhole = true;
          rows.apply(event);
          if (!isWhole) continue;
          this.#stored = rows;
          this.#hasNewRows = true;
          if (rows.leftOut > 0 && !hasSaid) {
            const many = `members: the store has more than ${MAX_ROWS} rows of servers`;
            this.#options.log.warn(`${many}; those of strangers beyond that are left out`);
            hasSaid = true;
          }
          this.#wake.call();
        }
      } catch {
        // the container rows' writer says that the store is away; one voice is enough
      }
      signal.removeEventListener("abort", close);
      this.#stored = undefined;
      if (!signal.aborted) await clock.sleep(backoff.nextMs(), signal).catch(() => undefined);
    }
  }
}

function ownRecord(file: MembersFile, identity: Identity): SignedServerRecord | undefined {
  return file.members.find(({ id }) => id === identity.id);
}

/** The store's rows of servers, as many as are looked at; a member's has its place however many there are. */
class StoredRows {
  readonly #rows = new Map<number, SignedServerRecord>();
  readonly #isMember: (id: string) => boolean;
  /** rows that there was no room for */
  leftOut = 0;

  constructor(isMember: (id: string) => boolean) {
    this.#isMember = isMember;
  }

  /** Whether rows were left out that there would be room for now: only another subscription tells them again. */
  get hasRoom(): boolean {
    return this.leftOut > 0 && this.#rows.size < MAX_ROWS;
  }

  apply(event: SubscriptionEvent): void {
    if (event.type !== "row" && event.type !== "change") return;
    const row = event.type === "change" && event.change === "delete" ? undefined : parseServerRow(event.values);
    if (row === undefined) this.#rows.delete(event.rowId);
    else if (this.#rows.size < MAX_ROWS || this.#rows.has(event.rowId) || this.#isMember(row.id)) {
      this.#rows.set(event.rowId, row);
    } else this.leftOut++;
  }

  byId(): ReadonlyMap<string, SignedServerRecord> {
    return new Map([...this.#rows.values()].map((row) => [row.id, row]));
  }
}

function parseServerRow([idText, record, sig]: Row): SignedServerRecord | undefined {
  const id = typeof idText === "string" ? parseServerId(idText) : undefined;
  if (id === undefined || typeof record !== "string" || typeof sig !== "string") return undefined;
  return record.length > 4096 || sig.length > 200 ? undefined : { id, record, sig };
}
