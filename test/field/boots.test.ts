import { afterAll, beforeAll, expect, test } from "bun:test";
import { startMesh, type LabMesh } from "../../lab/mesh.ts";
import { bootTogether } from "../chaos/boots.ts";

/** Five servers whose power is cut at the same moment, as in one rack. `npm run chaos -- --boots N` does it N times. */
let mesh: LabMesh | undefined;

beforeAll(async () => {
  mesh = await startMesh({
    servers: ["alpha", "beta", "gamma", "delta", "omega"].map((name, index) => ({
      name,
      release: index < 3 ? "trixie" : "bookworm",
      engine: index % 2 === 0 ? "docker" : "podman",
    })),
  });
}, 600_000);

afterAll(async () => {
  await mesh?.lab.down();
}, 120_000);

test.each(["power cut", "power cut", "reboot"] as const)(
  "after a %s of five servers every one of them is back in the mesh within 30 s",
  async (shutdown) => {
    if (mesh === undefined) throw new Error("there is no mesh");
    const { complaints, wholeMs } = await bootTogether(mesh, shutdown);
    console.log(`${shutdown}: whole after ${wholeMs} ms`);
    expect(complaints).toEqual([]);
  },
  240_000,
);
