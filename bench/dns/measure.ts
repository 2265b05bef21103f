import { createSocket } from "node:dgram";
import { LOAD_CORE, runProgram, type Running } from "./processes.ts";
import { encodeQuestion, type SampleName } from "./sample.ts";

/** What load.c prints. */
interface LoadReport {
  readonly sent: number;
  readonly answered: number;
  readonly wrong: number;
  /** without an answer within a second, or soon after the end, or not even asked as too many others were unanswered */
  readonly lost: number;
  /** answers that came after that, or to nothing that was asked; those after the load's end are not seen */
  readonly late: number;
  /** answers that the load's own sockets had no room for */
  readonly droppedHere: number;
  /** for which the load itself was not let run: the machine stood still, or others had its core */
  readonly longestPauseMs: number;
  readonly seconds: number;
  /** a question that is lost counts as one that took longest */
  readonly p50Us: number;
  readonly p99Us: number;
  /** the median of the p99s of all tenths of a second */
  readonly usualP99Us: number;
  readonly p999Us: number;
  /** answers in the worst tenth of a second, in the worst of all but a tenth of them, and in the usual one */
  readonly worstSlice: number;
  readonly lowSlice: number;
  readonly medianSlice: number;
  readonly firstWrong: string;
}

/** One run of the load against one server. */
export interface Measured extends LoadReport {
  readonly answersPerSecond: number;
  readonly processorUsPerAnswer: number;
  /** share of the server's core that it used; well below 1 at full load, something else was the limit */
  readonly busy: number;
}

export interface LoadOptions {
  /** load.c, compiled */
  readonly program: string;
  /** the file of questions */
  readonly questions: string;
  readonly seconds: number;
  /** questions per second; 0: as many as are answered */
  readonly rate: number;
}

/** Sockets that ask, and questions that each has open at full load. */
const CLIENTS = 4;
const WINDOW = 32;

/** Puts a server under load from the load's core. */
export async function measure(
  server: Running & { readonly host: string; readonly port: number },
  load: LoadOptions,
): Promise<Measured> {
  const beforeMs = server.processorMs();
  const output = await runProgram([
    ...["taskset", "-c", `${LOAD_CORE}`, load.program, server.host, `${server.port}`, load.questions],
    ...[`${load.seconds}`, `${load.rate}`, `${CLIENTS}`, `${WINDOW}`],
  ]);
  const usedMs = server.processorMs() - beforeMs;
  const report = JSON.parse(output) as LoadReport;
  return {
    ...report,
    answersPerSecond: report.answered / report.seconds,
    processorUsPerAnswer: (usedMs * 1000) / Math.max(1, report.answered),
    busy: usedMs / 1000 / report.seconds,
  };
}

/** A question without an answer is asked again after this. */
const ASK_AGAIN_MS = 5;

/**
 * Asks, again as soon as there is an answer, or `pauseMs` after it, until the name has its addresses; gives the milliseconds
 * that took. Throws after `timeoutMs`.
 */
export async function untilAnswered(
  server: { readonly host: string; readonly port: number },
  wanted: SampleName,
  timeoutMs: number,
  pauseMs = 0,
): Promise<number> {
  const began = performance.now();
  const question = encodeQuestion(wanted.name);
  const socket = createSocket("udp4");
  socket.on("error", () => undefined);
  const answered = Promise.withResolvers<number>();
  const state = { isOver: false };
  const ask = (): void => {
    if (!state.isOver) socket.send(question, server.port, server.host);
  };
  socket.on("message", (packet) => {
    if (hasAddresses(packet, question.length, wanted)) answered.resolve(performance.now() - began);
    else if (pauseMs === 0) ask();
    else setTimeout(ask, pauseMs);
  });
  ask();
  const asking = setInterval(ask, ASK_AGAIN_MS);
  const timer = setTimeout(() => answered.reject(new Error(`${wanted.name}: no right answer`)), timeoutMs);
  try {
    return await answered.promise;
  } finally {
    clearInterval(asking);
    clearTimeout(timer);
    state.isOver = true;
    socket.close();
  }
}

function hasAddresses(packet: Buffer, questionBytes: number, { addresses }: SampleName): boolean {
  if (packet.readUInt16BE(6) !== addresses.length) return false;
  const found = addresses.map(() => "");
  let at = questionBytes;
  for (let i = 0; i < found.length; i++) {
    // A name is a pointer to the question's, or written out.
    while ((packet[at] ?? 0) > 0 && (packet[at] ?? 0) < 0xc0) at += (packet[at] ?? 0) + 1;
    at += (packet[at] ?? 0) >= 0xc0 ? 12 : 11;
    found[i] = [...packet.subarray(at, at + 4)].join(".");
    at += 4;
  }
  return found.sort().join(" ") === [...addresses].sort().join(" ");
}

/** The middle one. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
