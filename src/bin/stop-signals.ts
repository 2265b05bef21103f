/**
 * Runs a service until SIGTERM or SIGINT, closes it once and ends the process with 0, whatever it left open. A second
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
  await service.close();
  process.exit(0);
}
