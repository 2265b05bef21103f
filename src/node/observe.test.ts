import { expect, test } from "bun:test";
import { failed, FakeHost, type FakeProgram } from "../../test/fake-host.ts";
import { callNode } from "../../test/node-call.ts";
import { sampleSpec } from "../../test/sample-spec.ts";
import { nodeFactsSchema, type NodeFacts } from "../model/node/observe.ts";
import { encodeNodeSpecFile } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";

const PROGRAMS: Record<string, FakeProgram> = {
  uname: () => "aarch64\n",
  systemctl: ([verb]) => (verb === "--version" ? "systemd 257 (257.9-1)\n+PAM\n" : "MainPID=0\n"),
  getconf: () => "glibc 2.41\n",
  ss: () => "",
  ip: () => "[]",
};

function debian(): FakeHost {
  const host = new FakeHost({
    programs: PROGRAMS,
    files: {
      "/etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n',
    },
  });
  host.put("/run/systemd/system/x", "");
  return host;
}

async function observe(host: FakeHost): Promise<NodeFacts> {
  const { code, lines } = await callNode("observe", { engine: null }, undefined, { host });
  expect(code).toBe(0);
  return nodeFactsSchema.parse(lines[0]);
}

test("a bare server: what it is, and nothing of jiji", async () => {
  const host = debian();
  const before = host.snapshot();
  const facts = await observe(host);
  expect(facts).toMatchObject({
    arch: "arm64",
    os: { prettyName: "Debian GNU/Linux 13 (trixie)" },
    systemd: { state: "found", value: "257" },
    glibc: { state: "found", value: "2.41" },
    engines: { docker: { state: "absent" }, podman: { state: "absent" } },
    identity: { state: "absent" },
    spec: { state: "absent" },
    members: { state: "absent" },
    release: { jiji: { state: "absent" } },
    listeners: [],
  });
  expect(host.snapshot()).toBe(before);
});

test("no systemd, musl", async () => {
  const host = debian();
  await host.files.remove("/run/systemd");
  host.table.delete("getconf");
  host.table.set("ldd", () => failed("musl libc (x86_64)\nVersion 1.2.5\n"));
  const facts = await observe(host);
  expect(facts).toMatchObject({ systemd: { state: "absent" }, glibc: { state: "absent" } });
});

test("a member: its spec and release; what is broken is unknown, and no private key is told", async () => {
  const host = debian();
  const key = Buffer.alloc(32, 0x40).toString("base64");
  host.put(PATHS.spec, encodeNodeSpecFile(sampleSpec()));
  host.put(PATHS.wireguardKey, `${key}\n`);
  host.put(PATHS.identity, "{}");
  host.put(PATHS.members, "nonsense");
  host.put(PATHS.executable, "");
  host.table.set("jiji", () => "0.1.0\n");
  const facts = await observe(host);
  expect(facts.spec).toEqual({ state: "found", value: sampleSpec() });
  expect(facts.release).toEqual({ jiji: { state: "found", value: "0.1.0" } });
  expect([facts.identity.state, facts.members.state]).toEqual(["unknown", "unknown"]);
  expect(JSON.stringify(facts)).not.toContain(key);
});

test("networks that cannot be seen are a finding, not an empty list", async () => {
  const host = debian();
  host.table.set("ip", () => failed("Operation not permitted"));
  expect((await observe(host)).findings).toMatchObject([
    { code: "unseen", what: "could not look at the networks in use" },
  ]);
});
