import { boundAddress, kindOfDescriptor } from "../../system/libc.ts";

/** A socket that systemd has opened for this process. */
export interface InheritedSocket {
  readonly descriptor: number;
  readonly kind: "datagram" | "stream";
  readonly host: string;
  readonly port: number;
}

/** The first one, SD_LISTEN_FDS_START (sd_listen_fds(3)). */
const FIRST_DESCRIPTOR = 3;

/** More than systemd would ever hand over. */
const MAX_DESCRIPTORS = 64;

/**
 * The bound IPv4 sockets that were handed over by LISTEN_PID and LISTEN_FDS; empty when none were, or when they are for
 * another process. Throws when one of them is anything else.
 */
export function inheritedSockets(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): readonly InheritedSocket[] {
  const count = Number(environment["LISTEN_FDS"] ?? 0);
  if (environment["LISTEN_PID"] !== String(pid) || !Number.isInteger(count) || count < 0) return [];
  return Array.from({ length: Math.min(count, MAX_DESCRIPTORS) }, (_, index) => {
    const descriptor = FIRST_DESCRIPTOR + index;
    const kind = kindOfDescriptor(descriptor);
    if (kind === "other") throw new Error(`inherited descriptor ${descriptor} is no bound socket`);
    return { descriptor, kind, ...boundAddress(descriptor) };
  });
}
