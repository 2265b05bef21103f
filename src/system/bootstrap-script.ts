import { REMOTE_SUBCOMMANDS } from "../model/node/subcommands.ts";
import { MARKER } from "./answer-marker.ts";
import { PROGRAM_PATH } from "../model/paths.ts";

/**
 * The only texts of jiji's that a server's shell ever reads. They are constants: hashes, sizes and requests come on
 * standard input, and the scripts check them against a pattern. They need only a POSIX shell and programs that every
 * server has. (That is why uploads are packed with gzip: every base system has gunzip, but not zstd.)
 *
 * The login shell, whichever it is, gets each script as one single-quoted word for /bin/sh. So no script contains a single
 * quote, an exclamation mark or a line end.
 */

/**
 * Joins the lines of a script into the one line that goes over ssh. It begins with the marker on a line of its own,
 * since what the login shell said may have no line end.
 */
function script(lines: readonly string[]): string {
  return [`echo; echo ${MARKER};`, ...lines].join(" ");
}

/** POSIX patterns only: shells differ in how they read negated bracket expressions. */
const DIGITS = Array.from({ length: 12 }, (_, count) => "[0-9]".repeat(count + 1)).join("|");
const HEX_64 = "[0-9a-f]".repeat(64);
const ENVIRONMENT = `PATH=${PROGRAM_PATH}; LC_ALL=C; export PATH LC_ALL;`;
const CHECK_HASH = `case "$hash" in ${HEX_64}) ;; *) echo "jiji: malformed hash" >&2; exit 64 ;; esac;`;

/**
 * Describes the server in lines `jiji:WORD VALUE` up to `jiji:end`. Then it waits until its standard input is closed, since
 * its session holds the shared connection open. It runs as the login user, and as root where it reads jiji's own files.
 */
const PROBE = script([
  ENVIRONMENT,
  'say() { printf "jiji:%s %s\\n" "$1" "$2"; };',
  'say system "$(uname -s)"; say machine "$(uname -m)"; say uid "$(id -u)";',
  'if [ "$(id -u)" = 0 ]; then root=""; say privilege root;',
  'elif sudo -n true 2>/dev/null; then root="sudo -n"; say privilege sudo;',
  "else root=false; say privilege none;",
  'say sudo "$(sudo -n true 2>&1 | tail -n 1)"; fi;',
  "if [ -d /run/systemd/system ]; then say systemd yes; else say systemd no; fi;",
  'libc="$(getconf GNU_LIBC_VERSION 2>/dev/null)" || libc="$(ldd --version 2>&1 | head -n 2 | tr "\\n" " ")";',
  'say libc "$libc";',
  'say spec "$($root cat /opt/jiji/spec.json 2>/dev/null | tr -d "\\n")";',
  '$root stat -c "jiji:file %s %n" /opt/jiji/bin/jiji /opt/jiji/corrosion/corrosion /opt/jiji/manifest.json 2>/dev/null;',
  "$root find /opt/jiji/staging -type f -name file 2>/dev/null |",
  'while read -r path; do say staged "$path"; done;',
  'say end ""; exec cat >/dev/null',
]);

/**
 * Receives an upload: one line `HASH SIZE`, then gzip. It unpacks the content under a temporary name in a folder that only
 * root can enter, compares its hash, and only then renames it.
 */
const RECEIVE = script([
  "set -eu; umask 077; cd /;",
  ENVIRONMENT,
  "read -r hash size;",
  CHECK_HASH,
  `case "$size" in ${DIGITS}) ;; *) echo "jiji: malformed size" >&2; exit 64 ;; esac;`,
  "[ -d /opt/jiji ] || mkdir -m 755 -p /opt/jiji;",
  "[ -d /opt/jiji/staging ] || mkdir -m 700 /opt/jiji/staging;",
  "chown 0:0 /opt/jiji/staging; chmod 700 /opt/jiji/staging;",
  'free="$(df -Pk /opt/jiji/staging | { read -r head; read -r device blocks used free rest; echo "$free"; })";',
  'if [ "$free" -lt "$((size / 1024 + 16384))" ]; then',
  'echo "jiji: /opt has $((free / 1024)) MB left, the file needs $((size / 1048576)) MB" >&2; exit 65; fi;',
  'part="/opt/jiji/staging/.$hash.$$"; trap "rm -f $part" EXIT; trap "exit 1" HUP INT TERM PIPE;',
  'gunzip -c >"$part";',
  'sum="$(sha256sum "$part")"; sum="${sum%% *}"; bytes="$(wc -c <"$part")";',
  'if [ "$sum" = "$hash" ] && [ "$bytes" -eq "$size" ]; then :; else',
  'echo "jiji: what arrived is not what was sent (its hash is $sum)" >&2; exit 66; fi;',
  'chmod 700 "$part"; mkdir -p "/opt/jiji/staging/$hash"; mv -f "$part" "/opt/jiji/staging/$hash/file"',
]);

/**
 * Starts `jiji node SUBCOMMAND`: one line `HASH SUBCOMMAND`, then the request. The executable is the staged one of that
 * hash if there is one, else the installed one; `installed` for the hash always means that. The folder and the
 * environment are clean, since a program made with Bun would read settings from both.
 */
const RUN = script([
  "read -r hash subcommand;",
  `case "$hash" in installed) ;; ${HEX_64}) ;; *) echo "jiji: malformed hash" >&2; exit 64 ;; esac;`,
  `case "$subcommand" in ${REMOTE_SUBCOMMANDS.join("|")}) ;; *) echo "jiji: malformed request" >&2; exit 64 ;; esac;`,
  'program="/opt/jiji/staging/$hash/file"; [ -x "$program" ] || program=/opt/jiji/bin/jiji;',
  'if [ -x "$program" ]; then :; elif [ -f "$program" ] || [ -f "/opt/jiji/staging/$hash/file" ]; then',
  'echo "jiji: programs under /opt/jiji cannot be executed" >&2; exit 68; else echo "jiji: not installed" >&2; exit 69; fi;',
  `cd / && exec env -i PATH=${PROGRAM_PATH} LC_ALL=C`,
  '"$program" node "$subcommand"',
]);

/** Removes uploads that were not used: one hash per line. Folders go as well when they are empty. */
const UNSTAGE = script([
  ENVIRONMENT,
  "while read -r hash; do",
  CHECK_HASH,
  'rm -rf "/opt/jiji/staging/$hash"; done;',
  "rmdir /opt/jiji/staging /opt/jiji 2>/dev/null; exit 0",
]);

export const BOOTSTRAP_SCRIPTS = { probe: PROBE, receive: RECEIVE, run: RUN, unstage: UNSTAGE } as const;

export type BootstrapScript = keyof typeof BOOTSTRAP_SCRIPTS;

/** Exit codes of the scripts above, for clear messages. */
export const SCRIPT_EXIT = { noSpace: 65, wrongContent: 66, notExecutable: 68, notInstalled: 69 } as const;

/** The command line for the login shell. The probe runs as the login user, everything else as root. */
export function remoteCommand(name: BootstrapScript, privilege: "root" | "sudo"): string {
  const shell = name === "probe" || privilege === "root" ? "exec /bin/sh -c" : "exec sudo -n /bin/sh -c";
  return `${shell} '${BOOTSTRAP_SCRIPTS[name]}'`;
}
