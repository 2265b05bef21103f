import { decode } from "dns-packet";
import { answerText } from "../dns/dns-answer-text.ts";
import type { ModelAnswer } from "../dns/dns-model.ts";
import { readSlowly, type SlowQuestion } from "../dns/slow-question-reader.ts";
import { addressFor, mannersOf } from "./hostile-resolver.ts";

const TYPE_NAMES: Readonly<Record<number, string>> = {
  1: "A",
  2: "NS",
  5: "CNAME",
  6: "SOA",
  12: "PTR",
  15: "MX",
  16: "TXT",
  28: "AAAA",
  33: "SRV",
  255: "ANY",
};

/** What a model says, sorted. */
type Expected = (name: string, type: string) => ModelAnswer;

/** A message that was sent, and what may come back for it. */
export class Sent {
  readonly octets: readonly number[];
  readonly question: SlowQuestion;
  readonly sentMs = performance.now();

  constructor(octets: readonly number[]) {
    this.octets = octets;
    this.question = readSlowly(octets);
  }

  get id(): number {
    return (this.octets[0] ?? 0) * 256 + (this.octets[1] ?? 0);
  }

  /** Whether an answer must come: malformed ones have theirs as well; what others are asked for may fail. */
  mustBeAnswered(expected: Expected): boolean {
    const { verdict, type } = this.question;
    if (verdict !== 0) return verdict > 0;
    return expected(this.#name, TYPE_NAMES[type] ?? "other").rcode !== "FORWARD";
  }

  /** What is wrong with an answer; undefined when nothing is. */
  complaint(answer: Buffer, expected: Expected, isTcp: boolean): string | undefined {
    const { verdict, limit } = this.question;
    if (verdict < 0) return "this is no question, and was answered";
    const flags = answer.readUInt16BE(2);
    const asked = ((this.octets[2] ?? 0) << 8) | (this.octets[3] ?? 0);
    if ((flags & 0x8000) === 0) return "the answer is no answer";
    if ((flags & 0x7900) !== (asked & 0x7900)) return "opcode or RD differ";
    if (!isTcp && answer.length > limit) return `${answer.length} octets, and the client takes ${limit}`;
    if (verdict === 1 || verdict === 4) {
      return (flags & 15) === verdict && answer.length === 12 ? undefined : `rcode ${flags & 15} instead of ${verdict}`;
    }
    const end = this.#questionEnd;
    const isEchoed = answer.subarray(12, end).every((octet, index) => octet === this.octets[12 + index]);
    if (!isEchoed || answer.readUInt16BE(4) !== 1) return "the question is not the one that was asked";
    if (verdict === 5) return (flags & 15) === 5 ? undefined : `rcode ${flags & 15} instead of REFUSED`;
    return this.#complaintOfContents(answer, expected);
  }

  #complaintOfContents(answer: Buffer, ask: Expected): string | undefined {
    const packet = decode(answer);
    const said = answerText(packet);
    if (this.question.verdict === 16) {
      const [opt] = packet.additionals as { extendedRcode?: number }[];
      return opt?.extendedRcode === 1 && said.answers.length === 0 ? undefined : "no BADVERS";
    }
    const type = TYPE_NAMES[this.question.type] ?? "other";
    const expected = ask(this.#name, type);
    if (expected.rcode === "FORWARD") return this.#complaintOfForward(said.answers, said.rcode, packet.flag_aa);
    if (!packet.flag_aa) return "an own name without AA";
    if (packet.flag_tc) {
      const isPart = said.rcode === expected.rcode && said.answers.every((one) => expected.answers.includes(one));
      return isPart ? undefined : "a truncated answer that is not part of the right one";
    }
    // Addresses of places may be left out.
    const additionals = said.additionals.length === 0 ? [] : expected.additionals;
    const right = JSON.stringify({ ...expected, additionals });
    const given = JSON.stringify({ ...said, rcode: said.rcode });
    return given === right || isSame(said, { ...expected, additionals }) ? undefined : `${given} instead of ${right}`;
  }

  #complaintOfForward(answers: readonly string[], rcode: string, isAuthoritative: boolean): string | undefined {
    if (isAuthoritative) return "AA for a name of others";
    const wire = Uint8Array.from(this.octets.slice(12, this.#questionEnd - 4));
    if (rcode === "FORWARD") return undefined;
    const manners = mannersOf(wire);
    if (manners === "malformed" || manners === "never")
      return `${rcode}, although the resolver never answered properly`;
    const right = this.question.type === 1 ? [`A ${addressFor(wire).join(".")}`] : [];
    return JSON.stringify(answers) === JSON.stringify(right)
      ? undefined
      : `${answers.join(" ")} instead of ${right.join(" ")}`;
  }

  get #questionEnd(): number {
    const labels = this.question.labels ?? [];
    return 12 + labels.reduce((sum, { length }) => sum + length + 1, 1) + 4;
  }

  /** The name as text, every octet that is none of a host's escaped, so that no label is taken for two. */
  get #name(): string {
    const text = (octets: readonly number[]): string =>
      octets
        .map((octet) => String.fromCharCode(octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet))
        .map((char) => (/[a-z0-9_-]/.test(char) ? char : `\\${String(char.charCodeAt(0)).padStart(3, "0")}`))
        .join("");
    return (this.question.labels ?? []).map(text).join(".");
  }
}

function isSame(a: object, b: object): boolean {
  const sorted = (value: object) => JSON.stringify(Object.entries(value).toSorted(([x], [y]) => (x < y ? -1 : 1)));
  return sorted(a) === sorted(b);
}
