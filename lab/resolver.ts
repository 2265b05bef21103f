// The resolver that the lab's servers find in /etc/resolv.conf, as a provider's resolver would be. It runs in the
// operator's namespace and knows:
//   example.com               A 192.0.2.80, AAAA without data
//   large.example.com         TXT of 3,000 bytes: truncated over UDP, whole over TCP
//   servfail.example.com      SERVFAIL
//   silent.example.com        no answer at all
//   NAME.lab.example          A, from the JSON file {"NAME": "ADDRESS"}, read for each question
// and says NXDOMAIN to the rest. Each question is a line of the log: seconds, source address, protocol, name, type.
// usage: resolver.ts ADDRESS NAMES_FILE LOG_FILE READY_FILE
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";

const RCODE = { noError: 0, servFail: 2, nxDomain: 3 } as const;
const TYPE = { a: 1, txt: 16 } as const;
const [address, namesFile, logFile, readyFile] = process.argv.slice(2) as [string, string, string, string];

interface Question {
  readonly name: string;
  readonly type: number;
  /** The whole packet up to the end of the question. */
  readonly packet: Buffer;
}

function parseQuestion(packet: Buffer): Question | null {
  const labels: string[] = [];
  let at = 12;
  while (at < packet.length && packet[at] !== 0) {
    const length = packet[at] as number;
    if (length > 63 || at + 1 + length > packet.length) return null;
    labels.push(packet.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  if (at + 5 > packet.length) return null;
  return {
    name: labels.join(".").toLowerCase(),
    type: packet.readUInt16BE(at + 1),
    packet: packet.subarray(0, at + 5),
  };
}

interface Answer {
  readonly rcode: number;
  readonly data?: Buffer;
}

function lookUp(question: Question): Answer | "silent" {
  const { name, type } = question;
  const known = addressOf(name);
  if (known !== undefined) {
    const data = Buffer.from(known.split(".").map(Number));
    return type === TYPE.a ? { rcode: RCODE.noError, data } : { rcode: RCODE.noError };
  }
  if (name === "silent.example.com") return "silent";
  if (name === "servfail.example.com") return { rcode: RCODE.servFail };
  if (name === "large.example.com") {
    const text = Buffer.concat(
      Array.from({ length: 15 }, () => Buffer.concat([Buffer.from([200]), Buffer.alloc(200, "x")])),
    );
    return type === TYPE.txt ? { rcode: RCODE.noError, data: text } : { rcode: RCODE.noError };
  }
  return { rcode: RCODE.nxDomain };
}

function addressOf(name: string): string | undefined {
  if (name === "example.com") return "192.0.2.80";
  if (!name.endsWith(".lab.example")) return undefined;
  const names = JSON.parse(readFileSync(namesFile, "utf8")) as Record<string, string>;
  return names[name.slice(0, -".lab.example".length)];
}

function answer(packet: Buffer, from: string, protocol: "udp" | "tcp"): Buffer | null {
  const question = packet.length < 17 ? null : parseQuestion(packet);
  if (question === null) return null;
  const seconds = ((performance.timeOrigin + performance.now()) / 1000).toFixed(3);
  appendFileSync(logFile, `${seconds} ${from} ${protocol} ${question.name} ${question.type}\n`);
  const found = lookUp(question);
  if (found === "silent") return null;
  const header = Buffer.from(question.packet);
  header.writeUInt16BE(0x8180 | (header.readUInt16BE(2) & 0x0100) | found.rcode, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(found.data === undefined ? 0 : 1, 6);
  header.writeUInt32BE(0, 8);
  if (found.data === undefined) return header;
  const record = Buffer.alloc(12);
  record.writeUInt16BE(0xc00c, 0);
  record.writeUInt16BE(question.type, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt32BE(60, 6);
  record.writeUInt16BE(found.data.length, 10);
  const whole = Buffer.concat([header, record, found.data]);
  if (protocol === "tcp" || whole.length <= 512) return whole;
  header.writeUInt16BE(header.readUInt16BE(2) | 0x0200, 2);
  header.writeUInt16BE(0, 6);
  return header;
}

await Bun.udpSocket({
  hostname: address,
  port: 53,
  socket: {
    data(socket, packet, port, from) {
      const reply = answer(Buffer.from(packet), from, "udp");
      if (reply !== null) socket.send(reply, port, from);
    },
  },
});
Bun.listen<{ pending: Buffer }>({
  hostname: address,
  port: 53,
  socket: {
    open(socket) {
      socket.data = { pending: Buffer.alloc(0) };
    },
    data(socket, chunk) {
      let pending = Buffer.concat([socket.data.pending, chunk]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const length = pending.readUInt16BE(0);
        const reply = answer(pending.subarray(2, 2 + length), socket.remoteAddress, "tcp");
        pending = pending.subarray(2 + length);
        if (reply === null) continue;
        const size = Buffer.alloc(2);
        size.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([size, reply]));
      }
      socket.data.pending = pending;
    },
  },
});
writeFileSync(readyFile, `${process.pid}\n`);
