import { ToolError } from "../tools/errors.ts";
import type { EngineChoice } from "./recipe.ts";
import { execInServer } from "./server-exec.ts";
import { loadServerState } from "./state.ts";

/**
 * Name of the image that every server with an engine has: busybox with httpd, nc, nslookup, ping, sleep …, and `fetch
 * HOST[:PORT][/PATH]`, which prints a page. (Bookworm's static busybox has a wget that ends with a segmentation fault.)
 */
export const labImage = "jiji-lab:latest";

/**
 * Makes the image of the server's own busybox: $0 the engine, $1 the name, the rest `--change` options. A program that
 * is the first of its container ignores SIGTERM, so the image's stop signal is one that works at once (but for Docker
 * 20.10, whose import cannot set one: say `docker stop -t 1` there).
 */
const script = `
set -eu
name=$1; shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin" "$folder/tmp" "$folder/etc" "$folder/www"
cp "$(command -v busybox)" "$folder/bin/busybox"
for applet in $(busybox --list); do
  [ "$applet" = busybox ] || ln -s busybox "$folder/bin/$applet"
done
echo 'root:x:0:0:root:/:/bin/sh' >"$folder/etc/passwd"
cat >"$folder/bin/fetch" <<'END'
#!/bin/sh
authority=\${1%%/*}; path=\${1#"$authority"}; port=\${authority#*:}
[ "$port" != "$authority" ] || port=80
set -o pipefail
printf 'GET %s HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n' "\${path:-/}" "$authority" | nc -w 3 "\${authority%%:*}" "$port" | sed '1,/^\\r$/d'
END
chmod 755 "$folder/bin/fetch"
tar -C "$folder" -c . | "$0" import --change 'CMD ["sleep", "2147483647"]' "$@" - "$name"
`;

export interface ImageOptions {
  /** Default: `jiji-lab:latest`. */
  readonly name?: string;
  /** Labels of the image itself. */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * Puts a busybox image into every engine of a server, without any registry. Each server gets the default one when it is
 * made; this is for others. Throws `ToolError` when an engine does not take it.
 */
export async function loadLabImage(id: string, server: string, options: ImageOptions = {}): Promise<void> {
  const { engine, release } = loadServerState(id, server);
  const labels = Object.entries(options.labels ?? {}).flatMap(([key, value]) => ["--change", `LABEL ${key}=${value}`]);
  for (const program of enginePrograms(engine)) {
    const stop = program === "docker" && release === "bookworm" ? [] : ["--change", "STOPSIGNAL SIGKILL"];
    const argv = ["sh", "-c", script, program, options.name ?? labImage, ...stop, ...labels];
    const result = await execInServer(id, server, argv, { timeoutMs: 60_000 });
    if (result.code !== 0) throw new ToolError(`${server}: ${program} import failed: ${result.stderr.trim()}`);
  }
}

/**
 * Lets each engine run one container on a network of its own and removes both. What engines do at the first container
 * after a start (Podman's tables, forwarding and folder for networks; the raw table of Docker 28) has then happened, as
 * on any server in use, and a comparison of before and after shows only what others did. Done when a server is made;
 * not at later starts, where the order of things matters.
 */
export async function settleEngines(id: string, server: string): Promise<void> {
  const network = "settling";
  for (const program of enginePrograms(loadServerState(id, server).engine)) {
    for (const argv of [
      [program, "network", "create", network],
      [program, "run", "--rm", "--network", network, labImage, "true"],
      [program, "network", "rm", network],
    ]) {
      const result = await execInServer(id, server, argv, { timeoutMs: 60_000 });
      if (result.code !== 0) throw new ToolError(`${server}: ${argv.join(" ")} failed: ${result.stderr.trim()}`);
    }
  }
}

function enginePrograms(engine: EngineChoice): readonly ("docker" | "podman")[] {
  if (engine === "none") return [];
  return engine === "both" ? ["docker", "podman"] : [engine];
}
