/** The two settings of an engine's configuration that decide what stands in a container's resolv.conf. */
export interface DnsKeys {
  /** addresses of resolvers; null: not set */
  readonly servers: readonly string[] | null;
  /** search domains; null: not set */
  readonly searches: readonly string[] | null;
}

/** A configuration file that holds {@link DnsKeys} beside settings that are none of jiji's business. */
export interface DnsFileFormat {
  /** The settings as they stand; undefined when the text is malformed. */
  read(text: string): DnsKeys | undefined;
  /**
   * The text with these settings, null ones removed, and everything else as it was; a null text makes a new file.
   * Undefined when the text is malformed or has a form that cannot be edited safely.
   */
  write(text: string | null, keys: DnsKeys): string | undefined;
}

/** The value if it is a list of strings, null if there is none; undefined for anything else. */
export function stringList(value: unknown): readonly string[] | null | undefined {
  if (value === undefined) return null;
  return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined;
}
