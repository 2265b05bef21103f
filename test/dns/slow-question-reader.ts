/** What a strict reader makes of a message that may be a question, octet by octet off a list. */
export interface SlowQuestion {
  /** the RCODE that answers it, 0 when it may be answered properly, -1 when it gets no answer at all */
  readonly verdict: number;
  /** labels of the question's name as they came; undefined when there was no readable question */
  readonly labels: readonly (readonly number[])[] | undefined;
  readonly type: number;
  /** the most octets that a UDP answer may have */
  readonly limit: number;
  readonly hasOpt: boolean;
}

const CODE = { NO_ANSWER: -1, NOERROR: 0, FORMERR: 1, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
const OPT = 41;
const IN = 1;

/**
 * Reads a message as RFC 1035, 6891 and the rules of jiji-dns have it: exactly one question, no answers, no compression
 * in its name, at most one OPT, nothing behind the last record. Written without regard to speed, to hold the real one to.
 */
export function readSlowly(octets: readonly number[]): SlowQuestion {
  const reader = new SlowReader(octets);
  const verdict = reader.read();
  const { labels, type, hasOpt, size } = reader;
  const limit =
    hasOpt && verdict !== CODE.FORMERR && verdict !== CODE.NOTIMP ? Math.min(1232, Math.max(512, size)) : 512;
  return { verdict, labels, type, limit, hasOpt };
}

class SlowReader {
  labels: number[][] | undefined;
  type = 0;
  hasOpt = false;
  size = 0;
  readonly #all: readonly number[];
  readonly #left: number[];
  #version = 0;

  constructor(octets: readonly number[]) {
    this.#all = octets;
    this.#left = [...octets];
  }

  read(): number {
    if (this.#all.length < 12) return CODE.NO_ANSWER;
    this.#word();
    const flags = this.#word();
    if (flags >= 0x8000) return CODE.NO_ANSWER;
    if (((flags >> 11) & 15) !== 0) return CODE.NOTIMP;
    const counts = [this.#word(), this.#word(), this.#word(), this.#word()];
    if (counts[0] !== 1 || counts[1] !== 0 || counts[2] !== 0) return CODE.FORMERR;
    try {
      return this.#readSections(counts[3] ?? 0);
    } catch {
      return CODE.FORMERR;
    }
  }

  #readSections(additionals: number): number {
    const labels = this.#name(false) ?? [];
    this.type = this.#word();
    const klass = this.#word();
    this.labels = labels;
    for (let i = 0; i < additionals; i++) if (!this.#record()) return CODE.FORMERR;
    if (this.#left.length > 0) return CODE.FORMERR;
    if (this.#version !== 0) return CODE.BADVERS;
    const isMeta = this.type === 0 || this.type === OPT || (this.type >= 128 && this.type <= 254);
    return klass === IN && !isMeta ? CODE.NOERROR : CODE.REFUSED;
  }

  /** False when it is an OPT that must not be. */
  #record(): boolean {
    const name = this.#name(true);
    const type = this.#word();
    const size = this.#word();
    this.#octet();
    const version = this.#octet();
    this.#word();
    const data = Array.from({ length: this.#word() }, () => this.#octet());
    if (type !== OPT) return true;
    if (name?.length !== 0 || this.hasOpt) return false;
    this.hasOpt = true;
    this.size = size;
    this.#version = version;
    while (data.length > 0) {
      if (data.length < 4) return false;
      const [, , high = 0, low = 0] = data.splice(0, 4);
      if (data.length < high * 256 + low) return false;
      data.splice(0, high * 256 + low);
    }
    return true;
  }

  /** The labels; undefined when the name ends in a pointer. */
  #name(mayPoint: boolean): number[][] | undefined {
    const from = this.#all.length - this.#left.length;
    const labels: number[][] = [];
    for (let bytes = 1; ;) {
      const length = this.#octet();
      if (length === 0) return labels;
      if (length >= 0xc0 && mayPoint) {
        const target = (length & 0x3f) * 256 + this.#octet();
        if (target < 12 || target >= from) throw new RangeError("it points nowhere");
        return undefined;
      }
      if (length > 63) throw new RangeError("no label is so long");
      labels.push(Array.from({ length }, () => this.#octet()));
      bytes += length + 1;
      if (bytes > 255) throw new RangeError("no name is so long");
    }
  }

  #word(): number {
    return this.#octet() * 256 + this.#octet();
  }

  #octet(): number {
    const next = this.#left.shift();
    if (next === undefined) throw new RangeError("the message is over");
    return next;
  }
}
