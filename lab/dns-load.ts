import { createSocket } from "node:dgram";
import { Command } from "commander";

/**
 * Asks one server for one name at a steady rate and counts what comes back. Runs inside a lab server's network
 * namespace (lab/traffic.ts); prints one line of JSON: {sent, answered, wrong, slowestMs, firstAtMs}.
 *
 * An answer counts when it has the question's id, NOERROR and at least `--answers` records; everything is waited for
 * until 3 s after the last question. With `--until-answered` it ends with the first answer that counts; SIGINT stops
 * the questions.
 */
interface Counts {
  sent: number;
  answered: number;
  wrong: number;
  slowestMs: number;
  /** when the first answer that counts came, in ms since 1970; null: never */
  firstAtMs: number | null;
}

interface Options {
  readonly server: string;
  readonly name: string;
  readonly perSecond: number;
  readonly seconds: number;
  readonly answers: number;
  readonly untilAnswered?: true;
}

/**
 * When a server has restarted, all the answers that it owes come at once. One socket's buffer holds some 270 of them, half
 * a second's worth.
 */
const SOCKETS = 16;

function encodeQuestion(id: number, name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const header = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

async function ask({ server, name, perSecond, seconds, answers, untilAnswered }: Options): Promise<Counts> {
  const counts: Counts = { sent: 0, answered: 0, wrong: 0, slowestMs: 0, firstAtMs: null };
  const pending = new Map<number, number>();
  const take = (packet: Buffer): void => {
    const id = packet.readUInt16BE(0);
    const since = pending.get(id);
    if (since === undefined) return;
    pending.delete(id);
    counts.slowestMs = Math.max(counts.slowestMs, performance.now() - since);
    const good = (packet.readUInt16BE(2) & 0x800f) === 0x8000 && packet.readUInt16BE(6) >= answers;
    if (!good) {
      counts.wrong++;
      return;
    }
    counts.answered++;
    counts.firstAtMs ??= performance.timeOrigin + performance.now();
  };
  const sockets = Array.from({ length: SOCKETS }, () => {
    const socket = createSocket("udp4");
    socket.on("error", () => undefined); // an ICMP error is a question without an answer, and is counted as one
    return socket.on("message", take);
  });
  const begin = performance.now();
  const total = perSecond * seconds;
  const stop = new AbortController();
  process.on("SIGINT", () => stop.abort());
  const isDone = (): boolean => untilAnswered === true && counts.answered > 0;
  while (counts.sent < total && !isDone() && !stop.signal.aborted) {
    const due = Math.min(total, Math.floor(((performance.now() - begin) / 1000) * perSecond));
    for (; counts.sent < due; counts.sent++) {
      const id = counts.sent & 0xffff;
      pending.set(id, performance.now());
      sockets[id % SOCKETS]?.send(encodeQuestion(id, name), 53, server);
    }
    await Bun.sleep(2);
  }
  const deadline = performance.now() + 3000;
  while (pending.size > 0 && !isDone() && performance.now() < deadline) await Bun.sleep(10);
  for (const socket of sockets) socket.close();
  return { ...counts, slowestMs: Math.round(counts.slowestMs) };
}

await new Command("dns-load")
  .requiredOption("--server <address>")
  .requiredOption("--name <name>")
  .requiredOption("--per-second <n>", "questions a second", Number)
  .requiredOption("--seconds <n>", "for how long", Number)
  .requiredOption("--answers <n>", "records that an answer must have", Number)
  .option("--until-answered", "end with the first answer that counts")
  .action(async (options: Options) => {
    console.log(JSON.stringify(await ask(options)));
  })
  .parseAsync();
