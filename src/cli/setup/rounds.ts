import type { Mesh } from "../../desired/mesh.ts";
import { JijiError } from "../../model/errors.ts";
import type { ServerId } from "../../model/keys.ts";
import type { ApplyDone, ApplyEvent } from "../../model/node/apply.ts";
import { isNewer } from "../../model/revision.ts";
import { verifyServerRecord, type SignedServerRecord } from "../../model/server-record.ts";
import type { CliContext } from "../context.ts";
import { formatDuration } from "../duration.ts";
import { asJijiError, type Output } from "../output.ts";
import type { PlannedServer } from "./planning.ts";

/** What became of one server. */
export interface ServerRun {
  readonly error: JijiError | undefined;
  readonly id: ServerId | undefined;
  readonly notes: readonly string[];
  readonly tookMs: number;
}

export interface ApplyInput {
  readonly context: CliContext;
  readonly output: Output;
  readonly planned: readonly PlannedServer[];
  readonly mesh: Mesh;
  readonly restartEngine: boolean;
}

interface Progressing {
  readonly server: PlannedServer;
  readonly notes: string[];
  record: SignedServerRecord | undefined;
  error: JijiError | undefined;
  tookMs: number;
}

/**
 * The two rounds: prepare on all (so that everybody's key is known), then join on all. A server that fails is left out of
 * what follows and does not stop the others; what it has is valid, and a later run goes on from there.
 */
export async function applyRounds(input: ApplyInput): Promise<ReadonlyMap<string, ServerRun>> {
  const servers = input.planned.map((server): Progressing => {
    return { server, notes: [], record: undefined, error: undefined, tookMs: 0 };
  });
  const chosen = servers.filter(({ server }) => server.selected);
  const storeToken = await prepareAll(input, chosen);
  input.context.interrupted.throwIfAborted();
  const members = knownRecords(input.mesh, chosen);
  const alive = servers.filter(({ error }) => error === undefined);
  input.output.progress("round 2 of 2: network, tunnels, store, agent, DNS");
  await Promise.all(alive.map((progressing) => joinOne(input, progressing, members, storeToken)));
  return new Map(
    servers.map(({ server, error, record, notes, tookMs }) => {
      return [server.name, { error, id: record?.id ?? server.member, notes, tookMs }];
    }),
  );
}

/** Gives back the embedded store's token, which its holder makes. */
async function prepareAll(input: ApplyInput, chosen: readonly Progressing[]): Promise<string | undefined> {
  input.output.progress("round 1 of 2: programs, identity and keys");
  let storeToken: string | undefined;
  await Promise.all(
    chosen.map(async (progressing) => {
      const { client, spec } = progressing.server;
      await tracked(input, progressing, "prepared", async (onEvent) => {
        const request = { goal: { phase: "prepare", spec }, restartEngine: false } as const;
        const done = await client.apply(request, onEvent);
        storeToken ??= done.storeToken;
        if (done.record === undefined || !verifyServerRecord(done.record).ok) {
          throw new JijiError("remote", "it gave no valid record of itself", { server: progressing.server.name });
        }
        return done;
      });
    }),
  );
  return storeToken;
}

/** The newest record of every member, those that were just made included. */
function knownRecords(mesh: Mesh, prepared: readonly Progressing[]): readonly SignedServerRecord[] {
  const newest = new Map(mesh.members.map((known) => [known.member.id, known]));
  for (const { record } of prepared) {
    const verified = record === undefined ? undefined : verifyServerRecord(record);
    if (record === undefined || verified?.ok !== true) continue;
    const { member } = verified;
    if (isNewer(member, newest.get(member.id)?.member)) newest.set(member.id, { member, signed: record });
  }
  return [...newest.values()].map(({ signed }) => signed);
}

async function joinOne(
  input: ApplyInput,
  progressing: Progressing,
  members: readonly SignedServerRecord[],
  storeToken: string | undefined,
): Promise<void> {
  const { client, spec } = progressing.server;
  await tracked(input, progressing, "joined", (onEvent) =>
    client.apply(
      {
        goal: { phase: "join", spec, members, expected: [] },
        restartEngine: input.restartEngine,
        ...(storeToken === undefined ? {} : { storeToken }),
      },
      onEvent,
    ),
  );
}

async function tracked(
  input: ApplyInput,
  progressing: Progressing,
  done: string,
  work: (onEvent: (event: ApplyEvent) => void) => Promise<ApplyDone>,
): Promise<void> {
  const { clock } = input.context;
  const { name } = progressing.server;
  const startedMs = clock.monotonicMs();
  const steps = new StepProgress(input.output, name);
  try {
    const result = await work((event) => steps.see(event));
    progressing.record = result.record ?? progressing.record;
    progressing.notes.push(...result.notes.filter((note) => !progressing.notes.includes(note)));
    const count = steps.count === 1 ? "1 step" : `${steps.count} steps`;
    input.output.server(name, `${done}: ${count} in ${formatDuration(clock.monotonicMs() - startedMs)}`);
  } catch (error) {
    input.context.interrupted.throwIfAborted();
    progressing.error = asJijiError(error, name);
    input.output.failure(progressing.error);
  } finally {
    steps.close();
    progressing.tookMs += clock.monotonicMs() - startedMs;
  }
}

/** A step that takes longer than this is named while it runs. */
const SLOW_STEP_MS = 1500;

/** Says what a server is doing: each step when asked for details, else only those that take a while. */
export class StepProgress {
  readonly #output: Output;
  readonly #name: string;
  #steps: readonly { readonly summary: string }[] = [];
  #slow: ReturnType<typeof setTimeout> | undefined;
  count = 0;

  constructor(output: Output, name: string) {
    this.#output = output;
    this.#name = name;
  }

  see(event: ApplyEvent): void {
    if (event.type === "plan") {
      this.#steps = event.steps;
      this.count = event.steps.length;
    } else if (event.type === "progress") {
      this.#output.detail(`  ${this.#name}  ${event.line}`);
    } else if (event.type === "step") {
      this.close();
      const line = `${event.index + 1}/${this.count}  ${this.#steps[event.index]?.summary ?? ""}`;
      if (event.state === "done") return;
      if (this.#output.verbosity === "verbose") this.#output.server(this.#name, line);
      else this.#slow = setTimeout(() => this.#output.server(this.#name, `${line} …`), SLOW_STEP_MS);
    }
  }

  close(): void {
    clearTimeout(this.#slow);
  }
}
