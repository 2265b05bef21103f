import { loadMembers } from "../apply/members-file.ts";
import { JijiError } from "../model/errors.ts";
import { verifiedMembers } from "../model/membership.ts";
import { parseNodeSpecFile, type NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { found, unknown, type Reading } from "../model/reading.ts";
import type { Member } from "../model/server-record.ts";
import type { Files } from "../system/host.ts";

/** spec.json; malformed is unknown. */
export async function readSpec(files: Files): Promise<Reading<NodeSpec>> {
  const text = await files.read(PATHS.spec);
  if (text.state !== "found") return text;
  const spec = parseNodeSpecFile(text.value);
  return spec === undefined ? unknown(`${PATHS.spec} is malformed, or of another release`) : found(spec);
}

/** The spec that this server was given last. Throws a {@link JijiError} when there is none, or it cannot be read. */
export async function requireSpec(files: Files): Promise<NodeSpec> {
  const spec = await readSpec(files);
  if (spec.state === "found") return spec.value;
  const why = spec.state === "absent" ? "it is not set up" : spec.why;
  throw new JijiError("remote", why, { hint: "run jiji network setup first" });
}

/** The members that this server knows; none when its members.json cannot be read. */
export async function knownMembers(files: Files): Promise<readonly Member[]> {
  const members = await loadMembers(files);
  return members.state === "found" ? verifiedMembers(members.value) : [];
}
