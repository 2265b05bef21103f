// Asks a server for names again and again, and prints a line of JSON whenever an answer becomes another:
// {"atMs", "name", "rcode", "addresses"}, rcode null when there was no answer within half a second. Runs inside a lab
// server's network namespace (see answers.ts) and ends with its standard input.
// usage: answer-watch.ts SERVER EVERY_MS NAME…
import { createSocket } from "node:dgram";
import { decode, encode } from "dns-packet";

const SILENCE_MS = 500;

const [server = "", everyText = "", ...names] = process.argv.slice(2);
const everyMs = Number(everyText);
const socket = createSocket("udp4");

/** Times that other processes of this machine can be compared with. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

class WatchedName {
  readonly #name: string;
  readonly #firstId: number;
  readonly #question: Buffer;
  #id: number;
  #said: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string, firstId: number) {
    this.#name = name;
    this.#firstId = firstId;
    this.#id = firstId;
    this.#question = encode({
      type: "query",
      id: firstId,
      flags: 0x100,
      questions: [{ type: "A", class: "IN", name }],
    });
  }

  ask(): void {
    this.#id = this.#firstId + ((this.#id + 1 - this.#firstId) % 1000);
    this.#question.writeUInt16BE(this.#id, 0);
    socket.send(this.#question);
    this.#timer = setTimeout(() => {
      this.#say(null, []);
      this.ask();
    }, SILENCE_MS);
  }

  /** Gives whether the answer was this name's. */
  take(packet: Buffer): boolean {
    if (packet.readUInt16BE(0) !== this.#id) return false;
    this.#id = this.#firstId + ((this.#id + 1 - this.#firstId) % 1000);
    clearTimeout(this.#timer);
    const { answers = [] } = decode(packet);
    const addresses = answers.flatMap((answer) => (answer.type === "A" ? [answer.data] : [])).toSorted();
    this.#say(packet.readUInt16BE(2) & 15, addresses);
    this.#timer = setTimeout(() => this.ask(), everyMs);
    return true;
  }

  #say(rcode: number | null, addresses: readonly string[]): void {
    const text = `${rcode} ${addresses.join()}`;
    if (text === this.#said) return;
    this.#said = text;
    process.stdout.write(`${JSON.stringify({ atMs: nowMs(), name: this.#name, rcode, addresses })}\n`);
  }
}

const watched = names.map((name, index) => new WatchedName(name, 1000 * (index + 1)));
socket.on("error", () => undefined); // an ICMP error is an answer that does not come
socket.on("message", (packet) => watched.some((name) => name.take(packet)));
socket.connect(53, server, () => {
  for (const name of watched) name.ask();
});
process.stdin.on("end", () => process.exit(0)).resume();
