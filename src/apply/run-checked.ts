import { JijiError } from "../model/errors.ts";
import { ProgramMissing, type Host, type ProgramResult, type RunOptions } from "../system/host.ts";

const TAIL_LINES = 12;

/** Runs a program that has to succeed; otherwise throws a {@link JijiError} with its exit code and last words. */
export async function runChecked(
  host: Host,
  argv: readonly [string, ...string[]],
  options: RunOptions & { readonly hint?: string } = {},
): Promise<ProgramResult> {
  let result: ProgramResult;
  try {
    result = await host.programs.run(argv, options);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const hint =
      error instanceof ProgramMissing ? `install ${error.program}, then run the command again` : options.hint;
    throw new JijiError("remote", message, { hint, cause: error });
  }
  if (result.code === 0) return result;
  const words = lastLines(result.stderr.trim() === "" ? result.stdout : result.stderr);
  throw new JijiError("remote", `${argv.join(" ")} failed (exit ${result.code})${words === "" ? "" : `: ${words}`}`, {
    hint: options.hint,
  });
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-TAIL_LINES).join("\n");
}
