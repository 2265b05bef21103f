import { findCorrosion } from "./corrosion-choice.ts";
import { ToolError } from "../tools/errors.ts";
import { expectSuccess, runJiji, writeDeployFile } from "./jiji.ts";
import { openLab, startLab, type Lab, type LabRequest } from "./lab.ts";
import { buildExecutable } from "../tools/build.ts";

/** A lab whose servers are one mesh, on real Corrosion. */
export interface LabMesh {
  readonly lab: Lab;
  /** server → its address in the cluster, where its jiji-dns answers */
  readonly dnsOf: Readonly<Record<string, string>>;
}

/** Brings a lab up and makes a mesh of it with the built executable. Nothing of it is left when that fails. */
export async function startMesh(request: LabRequest): Promise<LabMesh> {
  const say = request.onProgress ?? (() => undefined);
  await buildExecutable({ onProgress: say });
  const corrosion = await findCorrosion(say);
  if (corrosion.kind !== "binary") throw new ToolError("there is no Corrosion here", "npm run corrosion builds it");
  const lab = await startLab(request);
  try {
    writeDeployFile(lab, { project: "lab" });
    expectSuccess(await runJiji(lab, ["network", "setup", "--yes", "--corrosion-binary", corrosion.path]), "setup");
    return { lab, dnsOf: await clusterAddresses(lab) };
  } catch (error) {
    await lab.down();
    throw error;
  }
}

/** The mesh of a lab that another process started. Throws `ToolError` when there is none. */
export async function openMesh(id: string): Promise<LabMesh> {
  const lab = await openLab(id);
  return { lab, dnsOf: await clusterAddresses(lab) };
}

async function clusterAddresses(lab: Lab): Promise<Readonly<Record<string, string>>> {
  const entries = await Promise.all(
    lab.servers.map(async ({ name }) => {
      const shown = await lab.exec(name, ["ip", "-4", "-o", "address", "show", "dev", "jiji0"]);
      const address = /inet ([0-9.]+)/.exec(shown.stdout)?.[1];
      if (address === undefined) throw new ToolError(`${name} has no address in the cluster: ${shown.stderr}`);
      return [name, address] as const;
    }),
  );
  return Object.fromEntries(entries);
}
