import { messageOf } from "../../model/errors.ts";
import type { AgentLine, AgentStateLine } from "../../model/agent-protocol.ts";
import type { DnsSettings } from "../../model/dns-settings.ts";
import { parseServerId } from "../../model/keys.ts";
import { parseDnsLabel } from "../../model/names.ts";
import { showText } from "../../model/shown-text.ts";
import type { Clock } from "../../system/host.ts";
import { readFacts } from "../zone/container-rows.ts";
import type { ProblemLog } from "../telemetry/problem-log.ts";
import { loadTable, saveTable } from "./saved-table.ts";
import type { Zone } from "../zone/zone.ts";

export interface MeshStateOptions {
  readonly zone: Zone;
  readonly settings: DnsSettings;
  readonly clock: Clock;
  readonly log: ProblemLog;
  /** answers of single names may have changed */
  readonly onChange: () => void;
  /** the networks that may ask have changed */
  readonly onNetworks: () => void;
  /** everything may have changed: rows and members are known, from now on or anew */
  readonly onReadable: () => Promise<void>;
  readonly pause: () => Promise<void>;
}

/** The table is saved at most this often, and less often when it is large. */
const SAVE_MS = 10_000;
const SAVE_MS_PER_ROW = 1;

/**
 * Combines what store and agent say: who the members are, which of them are hidden, whether there is enough to answer, and
 * what is saved on disk.
 */
export class MeshState {
  readonly #options: MeshStateOptions;
  #self: string | undefined;
  #networks: readonly string[] = [];
  #agent: AgentStateLine | undefined;
  #isAgentSilent = true;
  #hasMembers = false;
  #hasSnapshot = false;
  #isConnected = false;
  #whyNot = "not yet connected";
  #inStepMs: number | undefined;
  #resyncs = 0;
  #source: "store" | "saved" | "none" = "none";
  /** records that could not be read since the start */
  unreadable = 0;
  #isUnsaved = false;
  #savedMs = Number.NEGATIVE_INFINITY;
  #saving: Promise<void> | undefined;

  constructor(options: MeshStateOptions) {
    this.#options = options;
    this.#self = options.settings.self ?? undefined;
    options.zone.setSelf(this.#self);
  }

  /** Where the table comes from: the store, what was saved, or nowhere yet. */
  get source(): "store" | "saved" | "none" {
    return this.#source;
  }

  /** This server's own engine networks. */
  get networks(): readonly string[] {
    return this.#networks;
  }

  get store(): { connected: boolean; ageSeconds: number | null; why: string; resyncs: number } {
    const nowMs = this.#options.clock.monotonicMs();
    const inStepMs = this.#isConnected ? nowMs : this.#inStepMs;
    const ageSeconds = inStepMs === undefined ? null : Math.round((nowMs - inStepMs) / 1000);
    return { connected: this.#isConnected, ageSeconds, why: this.#whyNot, resyncs: this.#resyncs };
  }

  /** What the agent said last; null when none is configured. */
  get agent(): { readonly silent: boolean; readonly ready: boolean; readonly unreachable: string[] } | null {
    if (this.#options.settings.agentSocket === null) return null;
    const { ready = false, unreachable = [] } = this.#agent ?? {};
    return { silent: this.#isAgentSilent, ready, unreachable };
  }

  /** A row of the store cannot be read, and is left out. */
  rowUnreadable(serverId: string, n: number): void {
    this.unreadable++;
    this.#options.log.warn("row", `row ${n} of ${showText(serverId)} cannot be read and is left out`);
  }

  /** Reads the saved table, if there is one. */
  async load(): Promise<void> {
    const { settings, zone, log, clock } = this.#options;
    if (settings.stateFile === null) return;
    const startMs = clock.monotonicMs();
    const saved = await loadTable(settings.stateFile, zone);
    if (saved === undefined) return;
    this.#self ??= saved.self ?? undefined;
    zone.setSelf(this.#self);
    this.#networks = saved.networks;
    this.#hasMembers = true;
    this.#source = "saved";
    const tookMs = Math.round(clock.monotonicMs() - startMs);
    log.info(`${zone.rowCount} rows from the saved table in ${tookMs} ms`);
  }

  /** The store's rows are in the zone, whole. */
  async snapshotDone(): Promise<void> {
    this.#hasSnapshot = true;
    await this.#becomeReadable();
    this.#isUnsaved = true;
    this.#saveSoon();
  }

  rowsChanged(): void {
    this.#isUnsaved = true;
    this.#options.onChange();
    this.#saveSoon();
  }

  storeConnected(isConnected: boolean, why: string): void {
    const { log, zone, clock } = this.#options;
    if (isConnected) {
      this.#resyncs++;
      log.notice("in step", `store: in step, ${zone.rowCount} rows`);
    } else if (this.#isConnected || this.#whyNot !== why) {
      log.warn("store", `store: ${why}; answering what was known last`);
    }
    if (this.#isConnected) this.#inStepMs = clock.monotonicMs();
    this.#isConnected = isConnected;
    this.#whyNot = why;
  }

  /** Members came from the store. */
  membersChanged(): void {
    void this.#membersKnown();
  }

  agentSaid(line: Exclude<AgentLine, { type: "tick" }>): void {
    const { zone, settings, onChange, onNetworks } = this.#options;
    if (line.type === "news") {
      for (const { serverId, n, record } of line.records) {
        const place = zone.owners.place(serverId, n);
        const facts = readFacts(record);
        if (place !== undefined && facts !== undefined) zone.addNews(place, facts);
      }
      onChange();
      return;
    }
    this.#agent = line;
    this.#self = settings.self ?? line.self;
    zone.setSelf(this.#self);
    zone.setServers(line.servers.filter(({ id, name }) => parseServerId(id) === id && parseDnsLabel(name) === name));
    this.#hide();
    if (line.networks.join(" ") !== this.#networks.join(" ")) {
      this.#networks = line.networks;
      onNetworks();
    }
    void this.#membersKnown();
  }

  agentSilent(isSilent: boolean): void {
    const { log } = this.#options;
    this.#isAgentSilent = isSilent;
    if (isSilent) log.warn("agent", "agent: silent; every server counts as reachable");
    else log.info("agent: heard");
    this.#hide();
    this.#options.onChange();
  }

  /** To be called every few seconds. */
  tick(): void {
    this.#options.zone.dropOldNews();
    this.#options.onChange();
    this.#saveSoon();
  }

  /** Saves the table if it has changed since. */
  async save(): Promise<void> {
    await this.#saving;
    const { settings, zone, log, clock, pause } = this.#options;
    if (settings.stateFile === null || !this.#isUnsaved || this.#source === "none" || zone.turning !== undefined)
      return;
    this.#isUnsaved = false;
    this.#savedMs = clock.monotonicMs();
    const mesh = { self: this.#self ?? null, networks: this.#networks, savedAtMs: clock.nowMs() };
    try {
      await saveTable(settings.stateFile, zone, mesh, async () => {
        await pause();
        await zone.settled();
      });
    } catch (error) {
      this.#isUnsaved = true;
      log.warn("save", `the table could not be saved: ${messageOf(error)}`);
    }
  }

  async #membersKnown(): Promise<void> {
    this.#isUnsaved = true;
    this.#options.onChange();
    if (this.#hasMembers) return;
    this.#hasMembers = true;
    await this.#becomeReadable();
  }

  /** With rows and members the table is whole. */
  async #becomeReadable(): Promise<void> {
    if (!this.#hasSnapshot || !this.#hasMembers) return;
    this.#source = "store";
    await this.#options.onReadable();
  }

  /** Hides exactly the servers that the agent names; a silent agent names none. */
  #hide(): void {
    const { zone } = this.#options;
    const agent = this.#isAgentSilent ? undefined : this.#agent;
    const hidden = new Set(agent?.unreachable);
    if (agent !== undefined && !agent.ready) hidden.add(agent.self);
    zone.setHidden(hidden);
  }

  #saveSoon(): void {
    const { clock, zone, settings } = this.#options;
    if (settings.stateFile === null || !this.#isUnsaved || this.#saving !== undefined) return;
    const waitMs = Math.max(SAVE_MS, zone.rowCount * SAVE_MS_PER_ROW);
    if (clock.monotonicMs() - this.#savedMs < waitMs) return;
    this.#saving = this.save().finally(() => (this.#saving = undefined));
  }
}
