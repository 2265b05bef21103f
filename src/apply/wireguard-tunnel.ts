import { z } from "zod";
import { parseEndpoint } from "../model/address.ts";
import { INTERFACE } from "../model/ports.ts";
import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import type { ObservedPeer, ObservedTunnel } from "../plan/kinds/wireguard.ts";
import type { Host } from "../system/host.ts";
import { observeLinks } from "./links.ts";
import { look } from "./programs.ts";

/** What `wg show` is asked for, one at a time: its `dump` would print the private key too. */
const QUESTIONS = [
  "public-key",
  "listen-port",
  "peers",
  "endpoints",
  "allowed-ips",
  "latest-handshakes",
  "persistent-keepalive",
] as const;

const port = z.coerce.number().int().min(0).max(65535);

/** The running tunnel; absent when there is no such interface. */
export async function observeTunnel(host: Host): Promise<Reading<ObservedTunnel>> {
  const links = await observeLinks(host);
  if (links.state !== "found") return links;
  const link = links.value.find(({ name }) => name === INTERFACE);
  if (link === undefined) return ABSENT;
  const readings = await Promise.all(QUESTIONS.map((question) => look(host, ["wg", "show", INTERFACE, question])));
  const answers = new Map<string, readonly string[]>();
  for (const [index, question] of QUESTIONS.entries()) {
    const answer = readings[index];
    if (answer?.state !== "found") return unknown(`${INTERFACE} is there, but ${reason(answer)}`);
    answers.set(
      question,
      answer.value.split("\n").filter((line) => line !== ""),
    );
  }
  const listenPort = port.safeParse(answers.get("listen-port")?.[0]);
  if (!listenPort.success) return unknown(`wg show ${INTERFACE} listen-port gave no port`);
  const key = answers.get("public-key")?.[0];
  return found({
    publicKey: key === undefined || key === "(none)" ? null : key,
    listenPort: listenPort.data,
    mtuBytes: link.mtuBytes,
    addresses: link.addresses,
    up: link.up,
    peers: (answers.get("peers") ?? []).map((peer) => observedPeer(peer, answers, host.clock.nowMs())),
  });
}

function reason(reading: Reading<string> | undefined): string {
  return reading?.state === "unknown" ? reading.why : "it could not be read";
}

/** Each answer has one line per peer: its key, a tab, the value. */
function observedPeer(publicKey: string, answers: ReadonlyMap<string, readonly string[]>, nowMs: number): ObservedPeer {
  const value = (question: (typeof QUESTIONS)[number]): string =>
    (answers.get(question) ?? []).find((line) => line.startsWith(`${publicKey}\t`))?.slice(publicKey.length + 1) ?? "";
  const handshakeSeconds = Number(value("latest-handshakes") || 0);
  const keepalive = value("persistent-keepalive");
  return {
    publicKey,
    endpoint: parseEndpoint(value("endpoints")) ?? null,
    allowedIps: value("allowed-ips")
      .split(" ")
      .filter((text) => text !== "" && text !== "(none)"),
    keepaliveSeconds: keepalive === "off" || keepalive === "" ? 0 : Number(keepalive),
    handshakeAgeSeconds: handshakeSeconds === 0 ? null : Math.max(0, Math.round(nowMs / 1000) - handshakeSeconds),
  };
}
