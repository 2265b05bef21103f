import { loadavg } from "node:os";
import type { LabMesh } from "../../lab/mesh.ts";

/** How all servers of a mesh went down at the same moment. */
export type Shutdown = "power cut" | "reboot";

/** One shutdown of all servers, and what came back. */
export interface Boot {
  readonly shutdown: Shutdown;
  /** from the moment that every server was up until every pair spoke; null: never within the limit */
  readonly wholeMs: number | null;
  /** what was still wrong at the end of the limit, one line each */
  readonly complaints: readonly string[];
  /** load of the machine over the last minute, when the boot ended */
  readonly load: number;
}

/** How long a server that is up may take to be inside the mesh. */
const LIMIT_MS = 30_000;
const PAUSE_MS = 250;

/** Takes all servers down together, starts them again, and waits until every pair speaks through the tunnel. */
export async function bootTogether(mesh: LabMesh, shutdown: Shutdown): Promise<Boot> {
  const { lab } = mesh;
  const names = lab.servers.map(({ name }) => name);
  if (shutdown === "reboot") await Promise.all(names.map((name) => lab.reboot(name)));
  else {
    await Promise.all(names.map((name) => lab.kill(name)));
    await Promise.all(names.map((name) => lab.start(name)));
  }
  const startMs = performance.now();
  for (;;) {
    const complaints = (await Promise.all(names.map((name) => whatIsMissing(mesh, name)))).flat();
    const tookMs = Math.round(performance.now() - startMs);
    const load = Math.round((loadavg()[0] ?? 0) * 10) / 10;
    if (complaints.length === 0) return { shutdown, wholeMs: tookMs, complaints, load };
    if (tookMs > LIMIT_MS) return { shutdown, wholeMs: null, complaints, load };
    await Bun.sleep(PAUSE_MS);
  }
}

/** What keeps one server outside the mesh: its tunnel's unit, or servers that it cannot reach through the tunnel. */
async function whatIsMissing({ lab, dnsOf }: LabMesh, name: string): Promise<readonly string[]> {
  const unit = await lab.exec(name, ["systemctl", "is-active", "wg-quick@jiji0.service"]);
  if (unit.code !== 0) return [`${name}: wg-quick@jiji0.service is ${unit.stdout.trim()}`];
  const others = Object.entries(dnsOf).filter(([other]) => other !== name);
  const pings = others.map(async ([other, address]) => {
    const ping = await lab.exec(name, ["ping", "-q", "-n", "-c", "1", "-W", "1", address]);
    return ping.code === 0 ? [] : [`${name}: ${other} does not answer a ping`];
  });
  return (await Promise.all(pings)).flat();
}
