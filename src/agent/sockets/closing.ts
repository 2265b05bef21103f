import type { Clock } from "../../system/host.ts";
import type { Log } from "../log.ts";

/** A part that takes longer than this to close is named: of a service that hangs, systemd shows only that it does. */
const PATIENCE_MS = 1_000;

/** Closes a part and logs its name when that takes long. Rejects as the part does. */
export async function closePart(
  name: string,
  close: () => Promise<unknown> | void,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  const closed = new AbortController();
  void clock.sleep(PATIENCE_MS, closed.signal).then(
    () => log.warn(`agent: stopping; ${name} is still open after ${PATIENCE_MS} ms`),
    () => undefined,
  );
  try {
    await close();
  } finally {
    closed.abort();
  }
}
