import { expect, test } from "bun:test";
import { BOOTSTRAP_SCRIPTS, remoteCommand } from "./bootstrap-script.ts";

test("every script can stand in single quotes, in any login shell", () => {
  for (const text of Object.values(BOOTSTRAP_SCRIPTS)) expect(text).not.toMatch(/['!\n\r]/);
});

test("the probe never runs as root by itself, the others do", () => {
  expect(remoteCommand("probe", "sudo")).toStartWith("exec /bin/sh -c '");
  expect(remoteCommand("run", "sudo")).toStartWith("exec sudo -n /bin/sh -c '");
  expect(remoteCommand("run", "root")).toStartWith("exec /bin/sh -c '");
});
