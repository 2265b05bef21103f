import { expect, test } from "bun:test";
import { failed, FakeHost, ok } from "../../test/fake-host.ts";
import { sampleSpec } from "../../test/sample-spec.ts";
import { observeListeners, parseListeningSockets } from "./listeners.ts";

const SS = `udp   UNCONN 0      0               127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=90,fd=16))
udp   UNCONN 0      0                  10.210.0.1:53         0.0.0.0:*    users:(("jiji",pid=70,fd=3),("systemd",pid=1,fd=40))
udp   UNCONN 0      0                     0.0.0.0:31820      0.0.0.0:*
tcp   LISTEN 0      4096                     [::]:53            [::]:*    users:(("dnsmasq",pid=7,fd=5))
tcp   LISTEN 0      4096                        *:22               *:*    users:(("sshd: \\"x\\",y",pid=8,fd=3))
tcp   LISTEN 0      128                 127.0.0.1:31220      0.0.0.0:*    users:(("corrosion",pid=71,fd=9))
`;

test("ss's lines become sockets with the programs that hold them", () => {
  const sockets = parseListeningSockets(SS);
  expect(sockets).toHaveLength(6);
  expect(sockets[0]).toEqual({
    protocol: "udp",
    address: "127.0.0.53",
    port: 53,
    processes: [{ name: "systemd-resolve", pid: 90 }],
  });
  expect(sockets[3]).toMatchObject({ address: "::", processes: [{ name: "dnsmasq", pid: 7 }] });
  expect(sockets[4]?.address).toBe("*");
  expect(sockets[2]?.processes).toEqual([]);
  expect(() => parseListeningSockets("tcp LISTEN 0 0 nonsense 0.0.0.0:*")).toThrow("something unexpected");
});

test("on a server that jiji has never seen, everybody counts", async () => {
  const host = new FakeHost({ programs: { ss: () => SS } });
  const listeners = await observeListeners(host, { state: "absent" });
  expect(listeners.map(({ port, program }) => [port, program])).toEqual([
    [53, "systemd-resolve"],
    [53, "jiji, systemd"],
    [31820, "WireGuard"],
    [53, "dnsmasq"],
    [31220, "corrosion"],
  ]);
});

test("on a member, jiji's own programs, its socket and its tunnel are left out; others are not", async () => {
  const host = new FakeHost({ programs: { ss: () => SS, wg: () => "31820\n" } });
  host.entries.set("/proc/71/exe", { type: "link", target: "/opt/jiji/corrosion/corrosion (deleted)" });
  host.entries.set("/proc/70/exe", { type: "link", target: "/opt/jiji/bin/jiji" });
  const spec = { state: "found", value: sampleSpec() } as const;
  expect((await observeListeners(host, spec)).map(({ program }) => program)).toEqual(["systemd-resolve", "dnsmasq"]);
  host.table.set("wg", () => failed("Unable to access interface: No such device"));
  expect((await observeListeners(host, spec)).map(({ port }) => port)).toEqual([53, 31820, 53]);
});

test("not being able to look is no empty list", async () => {
  await expect(observeListeners(new FakeHost(), { state: "absent" })).rejects.toThrow("ss is not installed");
  const host = new FakeHost({ programs: { ss: () => ({ ...ok(), code: 1, stderr: "no" }) } });
  await expect(observeListeners(host, { state: "absent" })).rejects.toThrow("exit 1");
});
