import { describe, expect, test } from "bun:test";
import { parseProbe } from "./probe-answer.ts";
import { LineTooLong, MAX_LINE_BYTES, splitLines } from "./line-split.ts";
import { renderSshConfig, type SshSettings } from "./ssh-config-text.ts";
import { describeSshFailure } from "./ssh-failure.ts";
import { sshArguments } from "./ssh.ts";

const settings: SshSettings = {
  privateKeys: ["/home/ann/.ssh/de ploy%"],
  keysOnly: true,
  proxy: "user@bastion:2222",
  proxyCommand: undefined,
  config: "own",
  timeoutMs: 5500,
};

const forced = ["ForwardAgent", "ForwardX11", "PermitLocalCommand"].map((name) => `${name} no`);

describe("how ssh is called", () => {
  // security-tests: ssh-options
  test("the forced options stand before everything that is included, so they reach every hop", () => {
    const text = renderSshConfig(settings);
    expect(text).toMatchSnapshot();
    const firstInclude = text.indexOf("Include");
    for (const line of [...forced, "ClearAllForwardings yes", "BatchMode yes", "StrictHostKeyChecking yes"]) {
      expect(text.indexOf(line)).toBeGreaterThan(0);
      expect(text.indexOf(line)).toBeLessThan(firstInclude);
    }
    expect(text).not.toContain("UserKnownHostsFile");
  });

  test("no configuration, or files that are named", () => {
    expect(renderSshConfig({ ...settings, config: "none" })).not.toContain("Include");
    expect(renderSshConfig({ ...settings, config: ["/a b", "/c"] })).toContain('Include "/a b"\nInclude "/c"\n');
    expect(() => renderSshConfig({ ...settings, config: ['/a"\nProxyCommand x'] })).toThrow(RangeError);
  });

  test("the command line: options only, and the caller puts `--` before the host", () => {
    const argv = sshArguments(settings, "/run/x/config", { name: "web1", host: "web1", user: "deploy", port: 2022 });
    expect(argv).toMatchSnapshot();
    expect(argv).not.toContain("web1");
  });
});

describe("why a connection failed", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    [
      "root@web1: Permission denied (publickey,password).",
      "refused",
      "it refused the login (it accepts: publickey,password)",
    ],
    [
      "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures",
      "refused",
      "too many keys were offered",
    ],
    [
      "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @\nHost key verification failed.",
      "host-key",
      "its host key is another",
    ],
    [
      "No ED25519 host key is known for web1 and you have requested strict checking.\nHost key verification failed.",
      "host-key",
      "its host key is not known",
    ],
    ["ssh: connect to host 192.0.2.1 port 22: Connection timed out", "unreachable", "it did not answer within 6 s"],
    [
      "ssh: connect to host 192.0.2.1 port 22: Connection refused",
      "unreachable",
      "nothing listens on its port for ssh",
    ],
    ["ssh: connect to host 192.0.2.1 port 22: No route to host", "unreachable", "there is no way to it"],
    [
      "ssh: Could not resolve hostname nosuch: Name or service not known",
      "unreachable",
      "its host name nosuch cannot be looked up",
    ],
    [
      "/x: line 3: Bad configuration option: foo\n/x: terminating, 1 bad configuration options",
      "setup",
      "ssh's configuration is not usable",
    ],
    ["Bad owner or permissions on /home/ann/.ssh/config", "setup", "ssh's configuration is not usable"],
    [
      "channel 0: open failed: connect failed\nstdio forwarding failed",
      "unreachable",
      "the jump host could not reach it",
    ],
    [
      "kex_exchange_identification: Connection closed by remote host",
      "unreachable",
      "ssh could not connect: kex_exchange",
    ],
    ["\u001b[31mboo\u202e", "unreachable", "ssh could not connect: \\u001b[31mboo\\u202e"],
    ["", "unreachable", "ssh could not connect: ssh gave no reason"],
  ];
  for (const [stderr, failure, message] of cases) {
    test(message, () => {
      const error = describeSshFailure(stderr, "deploy@web1", 5500);
      expect(error.failure).toBe(failure as never);
      expect(error.message).toContain(message);
      expect(error.hint).not.toBe("");
    });
  }
});

describe("what comes back", () => {
  test("the probe's lines, between whatever a login shell says", () => {
    const hash = "a".repeat(64);
    const lines = [
      "Last login: yesterday",
      "jiji:system Linux",
      "jiji:machine x86_64",
      "jiji:privilege sudo",
      "jiji:sudo sudo: sorry, you must have a tty to run sudo",
      "jiji:systemd yes",
      "jiji:libc ldd (Debian GLIBC 2.41-12) 2.41 Copyright (C) 2024",
      'jiji:spec {"version":1}',
      "jiji:file 123 /opt/jiji/bin/jiji",
      `jiji:staged /opt/jiji/staging/${hash}/file`,
      "jiji:staged /opt/jiji/staging/../x/file",
      "jiji:end ",
    ];
    expect(parseProbe(lines)).toEqual({
      system: "Linux",
      machine: "x86_64",
      privilege: "sudo",
      sudoSaid: "sudo: sorry, you must have a tty to run sudo",
      systemd: true,
      libc: { kind: "glibc", version: "2.41" },
      installed: new Map([["/opt/jiji/bin/jiji", 123]]),
      staged: new Set([hash]),
      spec: '{"version":1}',
    });
    expect(parseProbe(lines.slice(0, -1))).toBeUndefined();
    expect(parseProbe(["jiji:libc musl libc (x86_64) Version 1.2.4", "jiji:end "])).toMatchObject({
      libc: { kind: "musl", version: "1.2.4" },
      privilege: "none",
      systemd: false,
    });
  });

  test("lines over any cutting of the bytes; too long a line ends it", async () => {
    const text = "a\r\n\nzwölf\nlast";
    for (let size = 1; size < 12; size++) {
      const lines: string[] = [];
      for await (const line of splitLines(cut(Buffer.from(text), size))) lines.push(line);
      expect(lines).toEqual(["a", "", "zwölf", "last"]);
    }
    const endless = splitLines(cut(Buffer.alloc(MAX_LINE_BYTES + 2, "x"), 65_536));
    expect(endless.next()).rejects.toThrow(LineTooLong);
  });
});

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
