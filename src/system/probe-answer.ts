import { showText } from "../model/shown-text.ts";
import type { ServerProbe } from "./connection.ts";

/** Reads the probe's lines. Other lines, such as a greeting of the login shell, are ignored; undefined without `jiji:end`. */
export function parseProbe(lines: readonly string[]): ServerProbe | undefined {
  const words = new Map<string, string>();
  const installed = new Map<string, number>();
  const staged = new Set<string>();
  for (const line of lines) {
    const match = /^jiji:([a-z]+) (.*)$/.exec(line);
    if (match === null) continue;
    const [, word = "", value = ""] = match;
    const file = word === "file" ? /^([0-9]{1,15}) (\/\S+)$/.exec(value) : null;
    const upload = word === "staged" ? /^\/opt\/jiji\/staging\/([0-9a-f]{64})\/file$/.exec(value) : null;
    if (file !== null) installed.set(file[2] ?? "", Number(file[1]));
    else if (upload !== null) staged.add(upload[1] ?? "");
    else words.set(word, value);
  }
  if (!words.has("end")) return undefined;
  const privilege = words.get("privilege");
  return {
    system: showText(words.get("system") ?? ""),
    machine: showText(words.get("machine") ?? ""),
    privilege: privilege === "root" || privilege === "sudo" ? privilege : "none",
    sudoSaid: words.has("sudo") ? showText(words.get("sudo") ?? "") : undefined,
    systemd: words.get("systemd") === "yes",
    libc: parseLibc(words.get("libc") ?? ""),
    installed,
    staged,
    spec: words.get("spec") ?? "",
  };
}

/** Reads what getconf or ldd say: `glibc 2.36`, `ldd (GNU libc) 2.36`, `musl libc (x86_64) Version 1.2.4`. */
function parseLibc(text: string): ServerProbe["libc"] {
  const version = /([0-9]+\.[0-9]+(?:\.[0-9]+)?)/.exec(text)?.[1] ?? "";
  if (/musl/i.test(text)) return { kind: "musl", version };
  if (/glibc|GNU libc|GLIBC/i.test(text)) return { kind: "glibc", version };
  return { kind: "other", version };
}
