import { PROGRAM_PATH } from "../model/paths.ts";

/** Lines `key=value` of one section, each with a value that this release wrote or parsed. */
export type UnitLines = readonly (readonly [key: string, value: string])[];

/** The sections of a systemd unit in order. */
export type UnitSections = Readonly<Record<string, UnitLines>>;

/** The text of a unit file. Throws when a value could begin another line, which no parsed value can. */
export function renderUnitFile(comment: string, sections: UnitSections): string {
  const blocks = Object.entries(sections).map(([name, lines]) =>
    [`[${name}]`, ...lines.map(([key, value]) => `${key}=${checked(key, value)}`)].join("\n"),
  );
  return `# ${comment}\n# Written by jiji; the next setup replaces it.\n\n${blocks.join("\n\n")}\n`;
}

function checked(key: string, value: string): string {
  if (/[\n\r\0\\]/.test(value)) throw new TypeError(`the value of ${key} is not one line`);
  return value;
}

/**
 * The command line of a service that gets no other environment variables than these, whatever systemd is configured to
 * pass on: a compiled Bun program and Corrosion both obey variables that could come from a stray setting.
 */
export function cleanStart(variables: readonly string[], argv: readonly string[]): string {
  return ["/usr/bin/env", "-i", `PATH=${PROGRAM_PATH}`, "LC_ALL=C"].concat(variables, argv).join(" ");
}

/** Takes away what none of jiji's services needs. Writable and executable memory stays, since a JIT needs it. */
export const COMMON_SANDBOX: UnitLines = [
  ["NoNewPrivileges", "yes"],
  ["ProtectSystem", "strict"],
  ["ProtectHome", "yes"],
  ["PrivateTmp", "yes"],
  ["PrivateDevices", "yes"],
  ["ProtectClock", "yes"],
  ["ProtectHostname", "yes"],
  ["ProtectKernelLogs", "yes"],
  ["ProtectKernelModules", "yes"],
  ["ProtectKernelTunables", "yes"],
  ["ProtectControlGroups", "yes"],
  ["LockPersonality", "yes"],
  ["RestrictNamespaces", "yes"],
  ["RestrictRealtime", "yes"],
  ["RestrictSUIDSGID", "yes"],
  ["SystemCallArchitectures", "native"],
];
