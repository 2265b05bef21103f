/** A program that a script needed did not do what it should; the message is for people. */
export class CommandFailed extends Error {}

/** Runs a program without a shell; throws {@link CommandFailed} with the end of its output unless it exits with 0. */
export async function run(argv: readonly string[], options: { readonly cwd?: string } = {}): Promise<string> {
  const child = Bun.spawn([...argv], { ...options, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new CommandFailed(`${argv.join(" ")}: exit ${code}\n${(stdout + stderr).slice(-4000)}`);
  return stdout;
}
