import { ipv4ToNumber, parseIpv4 } from "../../model/address.ts";
import { parseContainerRecord } from "../../model/container-record.ts";
import type { ContainerFacts } from "./container-rows.ts";

/** Reads a row's record; undefined when it is empty, half-filled or malformed, for then the row is not there. */
export function readFacts(record: string): ContainerFacts | undefined {
  const parsed = parseContainerRecord(record);
  if (parsed === undefined) return undefined;
  const { project, service, instance, address, state, containerId, ports, meta, rev } = parsed;
  const checked = address === null ? undefined : parseIpv4(address);
  return {
    rev,
    project,
    service,
    instance,
    address: checked === undefined ? -1 : ipv4ToNumber(checked),
    state,
    containerId,
    ports: ports.map(({ port, protocol }) => `${port}/${protocol}`).join(" "),
    image: meta["image"] ?? "",
    version: meta["version"] ?? "",
  };
}
