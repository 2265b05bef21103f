import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { randomInt } from "node:crypto";

export interface DnsServerAddress {
  readonly address: string;
  readonly port: number;
}

/**
 * Asks a DNS server for the SOA of `jiji` and resolves with the time to its answer, whatever the answer says, in ms;
 * undefined when none came in time. Over UDP the question is sent once.
 */
export async function askForSoa(
  server: DnsServerAddress,
  transport: "udp" | "tcp",
  timeoutMs: number,
): Promise<number | undefined> {
  const id = randomInt(0x10000);
  const started = performance.now();
  const answered = await (transport === "udp" ? askUdp : askTcp)(server, soaQuestion(id), timeoutMs);
  const isAnswer = answered !== undefined && answered.length >= 12 && answered.readUInt16BE(0) === id;
  return isAnswer && (answered.readUInt8(2) & 0x80) !== 0 ? performance.now() - started : undefined;
}

/** RFC 1035 §4.1: header with RD, one question, `jiji SOA IN`. */
function soaQuestion(id: number): Buffer {
  const question = Buffer.alloc(22);
  question.writeUInt16BE(id, 0);
  question.writeUInt16BE(0x0100, 2);
  question.writeUInt16BE(1, 4);
  question.write("\x04jiji\x00", 12, "latin1");
  question.writeUInt16BE(6, 18);
  question.writeUInt16BE(1, 20);
  return question;
}

function askUdp(server: DnsServerAddress, question: Buffer, timeoutMs: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const end = (answer?: Buffer): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on("error", () => undefined);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(end, timeoutMs);
    socket.once("message", (answer) => end(answer));
    socket.once("error", () => end());
    socket.send(question, server.port, server.address, (error) => {
      if (error !== null) end();
    });
  });
}

function askTcp(server: DnsServerAddress, question: Buffer, timeoutMs: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: server.address, port: server.port });
    const end = (answer?: Buffer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(end, timeoutMs);
    let received = Buffer.alloc(0);
    socket.once("connect", () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(question.length);
      socket.write(Buffer.concat([length, question]));
    });
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const length = received.length >= 2 ? received.readUInt16BE(0) : Number.POSITIVE_INFINITY;
      if (received.length >= 2 + length) end(received.subarray(2, 2 + length));
    });
    socket.once("error", () => end());
    socket.once("close", () => end());
  });
}
