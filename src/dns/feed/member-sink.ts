import { parseServerId } from "../../model/keys.ts";
import { verifyServerRecord } from "../../model/server-record.ts";
import type { Row } from "../../store/store.ts";
import type { RowSink } from "./store-feed.ts";
import type { Zone, ZoneServer } from "../zone/zone.ts";

/**
 * Takes the members from the store's `servers` rows, for a server without an agent. Only signed records count; of two with
 * one number, the one that was seen first has it.
 */
export class MemberSink implements RowSink<string> {
  readonly #zone: Zone;
  readonly #onChange: () => void;
  #members = new Map<string, ZoneServer>();
  #snapshot: Map<string, ZoneServer> | undefined;

  constructor(zone: Zone, onChange: () => void) {
    this.#zone = zone;
    this.#onChange = onChange;
  }

  begin(): void {
    this.#snapshot = new Map();
  }

  snapshotRow(values: Row): string | undefined {
    const member = memberOf(values);
    if (member !== undefined) this.#snapshot?.set(member.id, member);
    return member?.id;
  }

  async snapshotDone(): Promise<void> {
    this.#members = this.#snapshot ?? new Map();
    this.#snapshot = undefined;
    this.#tell();
  }

  set(values: Row): string | undefined {
    const member = memberOf(values);
    if (member === undefined) return undefined;
    this.#members.set(member.id, member);
    this.#tell();
    return member.id;
  }

  remove(id: string): void {
    this.#members.delete(id);
    this.#tell();
  }

  #tell(): void {
    const bySubnet = new Map<number, ZoneServer>();
    for (const member of this.#members.values()) {
      if (!bySubnet.has(member.subnet)) bySubnet.set(member.subnet, member);
    }
    this.#zone.setServers([...bySubnet.values()]);
    this.#onChange();
  }
}

function memberOf([idText, record, sig]: Row): ZoneServer | undefined {
  const id = typeof idText === "string" ? parseServerId(idText) : undefined;
  if (id === undefined || typeof record !== "string" || typeof sig !== "string" || record === "") return undefined;
  const verified = verifyServerRecord({ id, record, sig });
  return verified.ok ? { id, name: verified.member.name, subnet: verified.member.subnet } : undefined;
}
