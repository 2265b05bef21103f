import type { ApplyDone, ApplyEvent } from "../../model/node/apply.ts";
import { formatDuration } from "../duration.ts";
import { asJijiError } from "../output.ts";
import type { PlannedServer, ServerRun, Work } from "./work.ts";

/**
 * Has one server apply something, and says how it goes on. Gives what the server answered, and a run whose error is set
 * when it failed; rejects only when the command is interrupted. `done` is the word for success, as in "joined: 4 steps".
 */
export async function runOnServer(
  { context, output }: Work,
  { name }: PlannedServer,
  done: string,
  apply: (onEvent: (event: ApplyEvent) => void) => Promise<ApplyDone>,
): Promise<{ readonly run: ServerRun; readonly answer: ApplyDone | undefined }> {
  const { clock } = context;
  const startedMs = clock.monotonicMs();
  const tookMs = (): number => clock.monotonicMs() - startedMs;
  const steps = new StepProgress(output, name);
  try {
    const answer = await apply((event) => steps.see(event));
    const count = steps.count === 1 ? "1 step" : `${steps.count} steps`;
    output.server(name, `${done}: ${count} in ${formatDuration(tookMs())}`);
    return { run: { error: undefined, notes: answer.notes, tookMs: tookMs() }, answer };
  } catch (thrown) {
    context.interrupted.throwIfAborted();
    const error = asJijiError(thrown, name);
    output.failure(error);
    return { run: { error, notes: [], tookMs: tookMs() }, answer: undefined };
  } finally {
    steps.close();
  }
}

/** A step that takes longer than this is named while it runs. */
const SLOW_STEP_MS = 1500;

/** Says what a server is doing: every step in verbose mode, else only the slow ones. */
class StepProgress {
  readonly #output: Work["output"];
  readonly #name: string;
  #steps: readonly { readonly summary: string }[] = [];
  #slow: ReturnType<typeof setTimeout> | undefined;
  count = 0;

  constructor(output: Work["output"], name: string) {
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
