import { expect, test } from "bun:test";
import { failed, FakeHost } from "../../test/fake-host.ts";
import { observeEngines } from "./engine-facts.ts";

test("what is not installed is absent", async () => {
  expect(await observeEngines(new FakeHost())).toEqual({ docker: { state: "absent" }, podman: { state: "absent" } });
});

test("an engine that is installed and does not answer is unknown", async () => {
  const host = new FakeHost({
    programs: {
      docker: ([verb]) => (verb === "--version" ? "Docker version 28.5\n" : failed("Cannot connect to the daemon\n")),
      podman: () => failed("Error: database is locked\n", 125),
    },
  });
  expect(await observeEngines(host)).toEqual({
    docker: { state: "unknown", why: "docker info: Cannot connect to the daemon" },
    podman: { state: "unknown", why: "podman info: Error: database is locked" },
  });
});

test("versions, the network backend and rootless", async () => {
  const host = new FakeHost({
    programs: {
      docker: ([verb]) => (verb === "--version" ? "Docker\n" : '28.5.2+dfsg1 ["name=seccomp","name=rootless"]\n'),
      podman: () => "4.3.1 cni false\n",
    },
  });
  expect(await observeEngines(host)).toEqual({
    docker: { state: "found", value: { kind: "docker", version: "28.5.2+dfsg1", rootless: true } },
    podman: { state: "found", value: { kind: "podman", version: "4.3.1", netavark: false, rootless: false } },
  });
});

test("Podman under Docker's name is not Docker", async () => {
  const host = new FakeHost({
    programs: { docker: () => "podman version 5.4.2\n", podman: () => "5.4.2 netavark false\n" },
  });
  const engines = await observeEngines(host);
  expect(engines.docker).toEqual({ state: "absent" });
  expect(engines.podman.state).toBe("found");
});
