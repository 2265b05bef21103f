import { parseSubnetNumber } from "../model/cluster.ts";
import { JijiError } from "../model/errors.ts";
import { parseIdentityFile } from "../model/identity.ts";
import { parseNodeSpecFile } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import type { Files } from "../system/host.ts";
import type { AgentSelf } from "./run.ts";

const HINT = "run jiji network setup for this server";

/** Reads who this server is from identity.json and spec.json. Throws a {@link JijiError} when setup has not made them. */
export async function loadSelf(files: Files): Promise<AgentSelf> {
  const identityText = await readRequired(files, PATHS.identity);
  const specText = await readRequired(files, PATHS.spec);
  const withKey = parseIdentityFile(identityText);
  if (withKey === undefined) throw new JijiError("conflict", `${PATHS.identity} is malformed`, { hint: HINT });
  const spec = parseNodeSpecFile(specText);
  if (spec === undefined) throw new JijiError("conflict", `${PATHS.spec} is malformed`, { hint: HINT });
  const { cidr } = spec.cluster;
  if (parseSubnetNumber(cidr, withKey.identity.subnet) === undefined) {
    throw new JijiError("conflict", `number ${withKey.identity.subnet} is outside ${cidr}`, { hint: HINT });
  }
  return { ...withKey, cluster: cidr, spec };
}

async function readRequired(files: Files, path: string): Promise<string> {
  const reading = await files.read(path);
  if (reading.state === "found") return reading.value;
  const why = reading.state === "absent" ? "is not there" : `cannot be read: ${reading.why}`;
  throw new JijiError("conflict", `${path} ${why}`, { hint: HINT });
}
