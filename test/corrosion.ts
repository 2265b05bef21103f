import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { openStoreClient } from "../src/store/client.ts";
import { formatStoreUrl, type StoreUrl } from "../src/store/store-url.ts";
import { StoreError } from "../src/store/store.ts";
import type { Secret } from "../src/model/secret.ts";

/** Corrosion's files to test against: CORROSION_BIN, several separated by colons, else what `npm test` has installed. */
export function corrosionBinaries(): readonly string[] {
  const named = process.env["CORROSION_BIN"];
  if (named !== undefined && named !== "") return named.split(":");
  const cached = join(homedir(), ".cache/jiji/klukai-0.1.4/bin/corrosion");
  return existsSync(cached) ? [cached] : [];
}

export interface RunningCorrosion {
  readonly url: StoreUrl;
  readonly process: Bun.Subprocess;
  /** Stops it at once, as a crash does. */
  kill(): Promise<void>;
  /** Asks it to stop, which takes it 6 s: it leaves its cluster and keeps its subscriptions for the next start. */
  stop(): Promise<void>;
}

export interface CorrosionOptions {
  readonly binary: string;
  /** for its database, configuration and sockets; one that it used before makes it go on from there */
  readonly folder: string;
  readonly schema: string;
  readonly token: Secret;
  /** where it gossips; default: a free port */
  readonly gossipPort?: number;
  /** ports of those whom it joins */
  readonly peerPorts?: readonly number[];
}

const READY_TIMEOUT_MS = 10_000;

/** Starts a Corrosion on 127.0.0.1, by itself unless it has peers; resolves when it serves the schema's tables. */
export async function startCorrosion(options: CorrosionOptions): Promise<RunningCorrosion> {
  const { folder, token } = options;
  const port = await freePort();
  await mkdir(join(folder, "schema"), { recursive: true });
  await writeFile(join(folder, "schema/schema.sql"), options.schema);
  await writeFile(join(folder, "config.toml"), configuration(options, port, options.gossipPort ?? (await freePort())));
  const child = Bun.spawn([options.binary, "-c", join(folder, "config.toml"), "agent"], {
    // Corrosion takes settings from any variable of its environment.
    env: { PATH: "/usr/bin:/bin" },
    cwd: folder,
    stdout: Bun.file(join(folder, "log")),
    stderr: Bun.file(join(folder, "log")),
  });
  const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<void> => {
    child.kill(signal);
    await child.exited;
  };
  const kill = (): Promise<void> => end("SIGKILL");
  const url = formatStoreUrl({ kind: "tcp", host: "127.0.0.1", port });
  try {
    await untilReady(url, token, child, options.schema);
  } catch (error) {
    await kill();
    throw error;
  }
  return { url, process: child, kill, stop: () => end("SIGTERM") };
}

function configuration({ folder, token, peerPorts }: CorrosionOptions, apiPort: number, gossipPort: number): string {
  return `[db]
path = "${folder}/state.db"
schema_paths = ["${folder}/schema"]
[gossip]
addr = "127.0.0.1:${gossipPort}"
client_addr = "127.0.0.1:0"
bootstrap = ${JSON.stringify((peerPorts ?? []).map((port) => `127.0.0.1:${port}`))}
plaintext = true
[api]
addr = "127.0.0.1:${apiPort}"
authz.bearer-token = "${token.reveal()}"
[admin]
path = "${folder}/admin.sock"
[log]
colors = false
`;
}

/** It listens before it applies its schema, so only the last table's answer says that it is ready. */
async function untilReady(url: StoreUrl, token: Secret, child: Bun.Subprocess, schema: string): Promise<void> {
  const table = [...schema.matchAll(/CREATE TABLE (\w+)/g)].at(-1)?.[1] ?? "sqlite_schema";
  const client = openStoreClient({ url, token });
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      await client.query({ sql: `SELECT 1 FROM ${table} LIMIT 1` });
      return;
    } catch (error) {
      if (!(error instanceof StoreError) || performance.now() > deadline) throw error;
      if (child.exitCode !== null) throw new Error(`Corrosion ended with ${child.exitCode}`, { cause: error });
    }
    await Bun.sleep(20);
  }
}

/** A TCP port of loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => resolve());
  });
  const address = server.address();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
