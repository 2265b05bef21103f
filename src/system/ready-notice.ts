import { ptr } from "bun:ffi";
import { libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

/** Tells systemd that the service is ready, when it waits for that (sd_notify(3)). Gives whether it was said. */
export function sayReady(notifySocket: string | undefined): boolean {
  if (notifySocket === undefined || notifySocket === "" || process.platform !== "linux") return false;
  const path = Buffer.from(notifySocket, "utf8");
  if (path.length > 107) return false;
  const name = Buffer.alloc(2 + path.length);
  name.writeUInt16LE(AF_UNIX, 0);
  path.copy(name, 2);
  // A leading @ stands for the abstract namespace's zero octet.
  if (name[2] === 0x40) name[2] = 0;
  const message = Buffer.from("READY=1");
  const c = libc();
  const descriptor = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  const sent = c.sendto(descriptor, ptr(message), message.length, 0, ptr(name), name.length);
  c.close(descriptor);
  return Number(sent) === message.length;
}
