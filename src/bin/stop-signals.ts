/** Closing may take this long, then the process ends anyway. systemd would wait 90 s before it kills it. */
const CLOSING_MS = 5_000;

/**
 * Runs a service until SIGTERM or SIGINT, closes it once and ends the process with 0, whatever is still open. A second
 * signal ends it at once.
 */
export async function untilStopped(service: { close(): Promise<void> | void }): Promise<never> {
  await new Promise<void>((resolve) => {
    let stopping = false;
    const stop = (): void => {
      if (stopping) process.exit(130);
      stopping = true;
      resolve();
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
  });
  // A stream that the other end keeps open must not delay a restart.
  await Promise.race([service.close(), Bun.sleep(CLOSING_MS)]);
  process.exit(0);
}
