import type { z } from "zod";
import { JijiError, messageOf } from "../model/errors.ts";
import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import { ProgramMissing, type Host, type ProgramResult, type RunOptions } from "../system/host.ts";

type Argv = readonly [string, ...string[]];

/**
 * What a program that only looks says on standard output. A failure, and a program that is missing, are unknown: they
 * do not mean that the thing is absent.
 */
export async function look(host: Host, argv: Argv, options?: RunOptions): Promise<Reading<string>> {
  const output = await lookIfInstalled(host, argv, options);
  return output.state === "absent" ? unknown(`${argv[0]} is not installed`) : output;
}

/** The same, but a program that is missing gives absent. */
export async function lookIfInstalled(host: Host, argv: Argv, options?: RunOptions): Promise<Reading<string>> {
  try {
    const result = await host.programs.run(argv, options);
    return result.code === 0
      ? found(result.stdout)
      : unknown(`${argv.join(" ")} failed (exit ${result.code}): ${lastLine(result)}`);
  } catch (error) {
    if (error instanceof ProgramMissing) return ABSENT;
    return unknown(messageOf(error));
  }
}

/** Whether there is such a program, working or not. */
export async function isInstalled(host: Host, program: string): Promise<boolean> {
  return (await lookIfInstalled(host, [program, "--version"])).state !== "absent";
}

/** As {@link look}, for a program that prints one JSON value; some print nothing at all for an empty list. */
export async function lookJson<T>(host: Host, argv: Argv, schema: z.ZodType<T>): Promise<Reading<T>> {
  const output = await look(host, argv);
  return output.state === "found" ? readJson(output.value, schema, argv.join(" ")) : output;
}

/** Reads JSON that `what` printed; anything that the schema does not know is unknown. */
export function readJson<T>(text: string, schema: z.ZodType<T>, what: string): Reading<T> {
  try {
    const parsed = schema.safeParse(JSON.parse(text.trim() === "" ? "[]" : text));
    return parsed.success ? found(parsed.data) : unknown(`${what} printed something else than expected`);
  } catch {
    return unknown(`${what} did not print JSON`);
  }
}

/** The last line that a program wrote, from standard error if there is any; at most 300 characters. */
export function lastLine({ stderr, stdout }: ProgramResult): string {
  const line = (stderr.trim() === "" ? stdout : stderr).trim().split("\n").at(-1) ?? "";
  return line.slice(0, 300);
}

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
    const message = messageOf(error);
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
