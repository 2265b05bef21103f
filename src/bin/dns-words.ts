import { isatty } from "node:tty";
import { exitCodeOf, type ExitCode } from "../cli/exit-codes.ts";
import { asJijiError, Output } from "../cli/output.ts";
import { startDnsService } from "./dns-service.ts";
import { untilStopped } from "./stop-signals.ts";

/**
 * Runs `jiji dns serve --settings FILE`, as jiji-dns.service does, without the rest of the command line: a quarter of
 * what the process would else hold for good. Resolves only when it cannot be started, and has said why.
 */
export async function runDnsWords(settings: string): Promise<ExitCode> {
  try {
    return await untilStopped(await startDnsService({ settings, cidr: "", ttl: "" }));
  } catch (error) {
    const { stdout, stderr, env } = process;
    const sinkOf = (stream: NodeJS.WriteStream, descriptor: 1 | 2) => ({
      write: (text: string) => void stream.write(text),
      isTerminal: isatty(descriptor),
      columns: stream.columns,
    });
    const known = asJijiError(error);
    new Output({ stdout: sinkOf(stdout, 1), stderr: sinkOf(stderr, 2) }, env, "normal").failure(known);
    return exitCodeOf(known.kind);
  }
}
