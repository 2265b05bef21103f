import { stringList, type DnsFileFormat, type DnsKeys } from "./dns-keys.ts";

/** /etc/docker/daemon.json: one JSON object. Other keys keep their values and order, and the text its indentation. */
export const daemonJson: DnsFileFormat = {
  read(text) {
    const object = parseObject(text);
    if (object === undefined) return undefined;
    const servers = stringList(object["dns"]);
    const searches = stringList(object["dns-search"]);
    return servers === undefined || searches === undefined ? undefined : { servers, searches };
  },
  write(text, keys) {
    const object = parseObject(text ?? "{}");
    if (object === undefined) return undefined;
    const edited = withKeys(object, keys);
    const json = JSON.stringify(edited, null, text === null ? 2 : indentationOf(text));
    return text === null || /\n\s*$/.test(text) ? `${json}\n` : json;
  },
};

/** The text with `live-restore` set; undefined when it is malformed. */
export function withLiveRestore(text: string | null, isOn: boolean): string | undefined {
  const object = parseObject(text ?? "{}");
  return object === undefined ? undefined : `${JSON.stringify({ ...object, "live-restore": isOn }, null, 2)}\n`;
}

function withKeys(object: Readonly<Record<string, unknown>>, keys: DnsKeys): Record<string, unknown> {
  const edited: Record<string, unknown> = { ...object };
  const set = (name: string, value: readonly string[] | null): void => {
    if (value === null) delete edited[name];
    else edited[name] = value;
  };
  set("dns", keys.servers);
  set("dns-search", keys.searches);
  return edited;
}

/** Docker takes an empty file as an empty object. */
function parseObject(text: string): Record<string, unknown> | undefined {
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** The indentation of the first key on a line of its own; empty when everything is on one line. */
function indentationOf(text: string): string {
  if (text.trim() === "" || text.trim() === "{}") return "  ";
  return /\n([ \t]+)"/.exec(text)?.[1] ?? "";
}
