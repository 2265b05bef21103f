import type { Answer, DecodedPacket } from "dns-packet";
import type { ModelAnswer } from "./dns-model.ts";

/** An answer that an independent library has read, in the model's words; names in lower case. */
export function answerText(packet: DecodedPacket): ModelAnswer {
  const { rcode, answers = [], authorities = [], additionals = [] } = packet as DecodedPacket & { rcode: string };
  const soa = authorities.find(({ type }) => type === "SOA");
  return {
    rcode: rcode === "SERVFAIL" ? "FORWARD" : (rcode as ModelAnswer["rcode"]),
    answers: answers.map(recordText).toSorted(),
    additionals: additionals
      .filter(({ type }) => type !== "OPT")
      .map((record) => `${record.name.toLowerCase()} ${recordText(record)}`)
      .toSorted(),
    soaOf: soa?.name.toLowerCase(),
  };
}

/** The model's answer in the same order. */
export function sortedAnswer({ answers, additionals, ...rest }: ModelAnswer): ModelAnswer {
  return { ...rest, answers: answers.toSorted(), additionals: additionals.toSorted() };
}

function recordText(record: Answer): string {
  const { type, data } = record as { type: string; data: unknown };
  if (type === "SOA") return "SOA";
  if (type === "TXT") return `TXT ${(data as Buffer[]).join(" ")}`;
  if (type !== "SRV") return `${type} ${String(data)}`;
  const { priority, weight, port, target } = data as Record<string, unknown>;
  return `SRV ${String(priority)} ${String(weight)} ${String(port)} ${String(target)}`;
}
