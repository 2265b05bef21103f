// Runs on the packet thread alone.
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { AccessList } from "./access.ts";
import { AnswerCache } from "../forward/answer-cache.ts";
import { COUNTER, Counters } from "../telemetry/counters.ts";
import { BATCH_PACKETS, DatagramBatch } from "../../system/datagram-batch.ts";
import { HandOver } from "./hand-over.ts";
import { EAGAIN, EINTR, errno, MSG_DONTWAIT, MSG_WAITFORONE } from "../../system/libc.ts";
import { ASK_ZONE, DROPPED, FORWARD, Responder } from "./responder.ts";
import { NOT_A_QUESTION, Question, readQuestion } from "../wire/question.ts";
import { ownThread } from "../../system/thread-priority.ts";
import { TableReader } from "../zone/table.ts";
import {
  accessWords,
  CONTROL,
  handOverWords,
  SHARED,
  type TableMessage,
  type WorkerMessage,
  type WorkerStart,
} from "./worker-protocol.ts";

/** Batches that are still answered after the order to stop. */
const MAX_LAST_BATCHES = 64;

/** In the place of a verdict: the packet gets no answer, and has been counted. */
const PASSED_OVER = NOT_A_QUESTION - 1;

/** One batch in 64 is measured. */
const SAMPLE_MASK = 63;

/**
 * The packet thread: blocks in recvmmsg, answers each packet in its place, replies with sendmmsg. It never returns to
 * its event loop before it is told to stop. It looks between two batches for what the main thread has for it.
 */
class PacketThread {
  readonly #control: Int32Array;
  readonly #access: AccessList;
  readonly #counters: Counters;
  readonly #handOver: HandOver;
  readonly #responder: Responder;
  readonly #batch: DatagramBatch;
  /** what each packet of the batch asks, and what `readQuestion` says of it */
  readonly #questions: readonly Question[];
  readonly #verdicts = new Int32Array(BATCH_PACKETS);
  readonly #port: NonNullable<typeof parentPort>;
  #messages = 0;
  #batches = 0;
  #hasFault = false;

  constructor(start: WorkerStart, port: NonNullable<typeof parentPort>) {
    this.#control = new Int32Array(start.shared, 0, CONTROL.handOver);
    this.#access = new AccessList(accessWords(start.shared));
    this.#counters = new Counters(start.shared, SHARED.counters);
    this.#handOver = new HandOver(handOverWords(start.shared), start.ring);
    const cache = start.cache === undefined ? undefined : new AnswerCache(start.cache);
    this.#responder = new Responder(start.seed, start.cluster, cache);
    if (start.table !== undefined) this.#responder.use(new TableReader(start.table));
    this.#batch = new DatagramBatch(start.descriptor);
    this.#questions = Array.from({ length: BATCH_PACKETS }, () => new Question(start.seed));
    this.#port = port;
  }

  run(): void {
    while (Atomics.load(this.#control, CONTROL.stop) === 0) {
      const count = this.#batch.receive(MSG_WAITFORONE);
      if (Atomics.load(this.#control, CONTROL.messages) !== this.#messages) this.#takeMessages();
      if (count > 0) this.#answerBatch(count);
      else if (count < 0) this.#lookAtError();
    }
    for (let batches = 0; batches < MAX_LAST_BATCHES; batches++) {
      const count = this.#batch.receive(MSG_DONTWAIT);
      if (count <= 0) return;
      this.#answerBatch(count);
    }
  }

  #answerBatch(count: number): void {
    const counters = this.#counters;
    counters.add(COUNTER.batches);
    // Reading the clock is a good part of the cost of an answer, so few batches are measured.
    const isSampled = (this.#batches++ & SAMPLE_MASK) === 0;
    const startMs = isSampled ? performance.now() : 0;
    let hasHandedOver = false;
    // All are read before the first is answered: the table's memory for them is then fetched together.
    for (let i = 0; i < count; i++) this.#read(i);
    if (count > 1) this.#responder.warm(this.#questions, count);
    for (let i = 0; i < count; i++) {
      try {
        if (this.#answer(i)) hasHandedOver = true;
      } catch (error) {
        this.#fault(error);
      }
    }
    const failed = this.#batch.send();
    if (failed > 0) counters.addMany(COUNTER.sendErrors, failed);
    if (isSampled) {
      counters.add(COUNTER.sampledBatches);
      counters.addMany(COUNTER.sampledMs, performance.now() - startMs);
    }
    // One call wakes the main thread; further ones before it has looked would be waste.
    if (hasHandedOver && Atomics.exchange(this.#control, CONTROL.isMainCalled, 1) === 0)
      this.say({ type: "questions" });
  }

  #read(i: number): void {
    const batch = this.#batch;
    this.#verdicts[i] = PASSED_OVER;
    try {
      if (!this.#access.mayAsk(batch.sourceOf(i))) {
        this.#counters.add(COUNTER.droppedStranger);
      } else if (batch.isCut(i)) {
        this.#counters.add(COUNTER.droppedTooLong);
      } else {
        const question = this.#questions[i] as Question;
        this.#verdicts[i] = readQuestion(batch.view, batch.startOf(i), batch.lengthOf(i), question);
      }
    } catch (error) {
      this.#fault(error);
    }
  }

  /** True when the packet went to the main thread. */
  #answer(i: number): boolean {
    const verdict = this.#verdicts[i] as number;
    if (verdict === PASSED_OVER) return false;
    const batch = this.#batch;
    const counters = this.#counters;
    const question = this.#questions[i] as Question;
    const start = batch.startOf(i);
    const answered = this.#responder.answerRead(batch.view, start, question, verdict, false);
    if (answered > 0) {
      counters.question(question.type);
      counters.answer(this.#responder.rcode);
      if (this.#responder.isCached) counters.add(COUNTER.cacheHits);
      batch.reply(i, answered);
      return false;
    }
    if (answered === FORWARD || answered === ASK_ZONE) {
      counters.question(question.type);
      const isTaken = this.#handOver.write(batch.view, start, batch.lengthOf(i), batch.addressOf(i), batch.portOf(i));
      counters.add(isTaken ? COUNTER.handedOver : COUNTER.droppedBusy);
      return isTaken;
    }
    if (answered === DROPPED) counters.add(COUNTER.droppedNoQuestion);
    return false;
  }

  #takeMessages(): void {
    this.#messages = Atomics.load(this.#control, CONTROL.messages);
    let table: SharedArrayBuffer | undefined;
    for (;;) {
      const next: { readonly message: TableMessage } | undefined = receiveMessageOnPort(this.#port);
      if (next === undefined) break;
      ({ table } = next.message);
    }
    if (table === undefined) return;
    this.#responder.use(new TableReader(table));
    // This thread allocates nothing, so no other collection would ever free the last table.
    Bun.gc(true);
  }

  #lookAtError(): void {
    const why = errno();
    if (why === EAGAIN || why === EINTR) return;
    this.#counters.add(COUNTER.receiveErrors);
    this.say({ type: "problem", text: `recvmmsg failed (errno ${why})` });
    Bun.sleepSync(100);
  }

  #fault(error: unknown): void {
    this.#counters.add(COUNTER.faults);
    if (this.#hasFault) return;
    this.#hasFault = true;
    this.say({ type: "problem", text: `a packet could not be answered: ${String(error)}` });
  }

  say(message: WorkerMessage): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port is not a window
    this.#port.postMessage(message);
  }
}

/** The thread's entry; returns when it is told to stop. */
export function runPacketThread(): void {
  const port = parentPort;
  if (port === null) throw new Error("the packet thread was not started as a thread");
  const thread = new PacketThread(workerData as WorkerStart, port);
  thread.say({ type: "ready", thread: ownThread() });
  thread.run();
  port.close();
}
