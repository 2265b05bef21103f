import { messageOf } from "../model/errors.ts";
import { DatagramBatch } from "./datagram-batch.ts";
import { bindDatagram, boundAddress, closeDescriptor, DatagramSender, MSG_WAITFORONE, waitAtMost } from "./libc.ts";

const LOOPBACK = 0x7f000001;

let known: { readonly problem: string | undefined } | undefined;

/** The same as {@link checkDatagramCalls}, looked at once per thread. */
export function datagramProblem(): string | undefined {
  known ??= { problem: checkDatagramCalls() };
  return known.problem;
}

/**
 * Whether recvmmsg and sendmmsg do here what the layouts of their structs promise: two packets go to a socket on
 * loopback, come back changed, and each detail is compared. Undefined when all is well, else what is not.
 */
export function checkDatagramCalls(): string | undefined {
  let receiver: number | undefined;
  let sender: number | undefined;
  try {
    receiver = bindDatagram(LOOPBACK, 0);
    sender = bindDatagram(LOOPBACK, 0);
    waitAtMost(receiver, 1000);
    waitAtMost(sender, 1000);
    return compare(receiver, sender);
  } catch (error) {
    return messageOf(error);
  } finally {
    for (const descriptor of [receiver, sender]) if (descriptor !== undefined) closeDescriptor(descriptor);
  }
}

function compare(receiver: number, sender: number): string | undefined {
  const to = boundAddress(receiver);
  const from = boundAddress(sender);
  const out = new DatagramSender(sender);
  const packets = [Uint8Array.of(1, 2, 3), Uint8Array.of(9, 8, 7, 6, 5)];
  for (const packet of packets) if (!out.send(packet, LOOPBACK, to.port)) return "a packet could not be sent";
  const batch = new DatagramBatch(receiver);
  const count = batch.receive(MSG_WAITFORONE);
  if (count !== 2) return `recvmmsg gave ${count} packets of 2`;
  for (const [index, packet] of packets.entries()) {
    const start = batch.startOf(index);
    const isSame =
      batch.lengthOf(index) === packet.length &&
      batch.addressOf(index) === LOOPBACK &&
      batch.portOf(index) === from.port &&
      !batch.isCut(index) &&
      packet.every((octet, at) => batch.view.getUint8(start + at) === octet);
    if (!isSame) return `packet ${index} was not read as it was sent`;
  }
  // Only the second goes back, from another place in the list than it was read into.
  batch.view.setUint8(batch.startOf(1), 4);
  batch.reply(1, 2);
  if (batch.send() !== 0) return "sendmmsg sent nothing";
  const back = new DatagramBatch(sender);
  if (back.receive(MSG_WAITFORONE) !== 1 || back.lengthOf(0) !== 2) return "the reply did not come back";
  const start = back.startOf(0);
  if (back.view.getUint8(start) !== 4 || back.view.getUint8(start + 1) !== 8) return "the reply is not what was sent";
  return back.portOf(0) === to.port ? undefined : "the reply came from elsewhere";
}
