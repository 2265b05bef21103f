import { expect, test } from "bun:test";
import { failed, FakeHost } from "../../../test/fake-host.ts";
import { PATHS } from "../../model/paths.ts";
import { DOCKER_UNIT, ENGINE_DNS_KIND } from "../../plan/kinds/engine-dns.ts";
import { engineDnsKind } from "./engine-dns.ts";
import type { ApplyContext } from "../kind.ts";

const BEFORE = '{"debug":true}';

/** A Docker with a running container and without live-restore. */
function dockerHost(options: { readonly isUp: boolean }): FakeHost {
  const info = { ContainersRunning: 1, LiveRestoreEnabled: false };
  return new FakeHost({
    files: { [PATHS.dockerDaemon]: '{"dns":["10.210.0.1"]}' },
    programs: {
      systemctl: ([verb]) => {
        if (verb === "show")
          return `ActiveState=${options.isUp ? "active" : "failed"}\nInvocationID=${"a".repeat(32)}\n`;
        return verb === "reload" || (verb === "restart" && !options.isUp) ? failed("it cannot") : "";
      },
      docker: () => JSON.stringify(info),
    },
  });
}

async function restart(host: FakeHost): Promise<unknown> {
  const before = { file: { content: BEFORE, mode: 0o644, owner: "root", group: "root" }, madeFolders: [] };
  const context = {
    host,
    before: (target: string) => (target === PATHS.dockerDaemon ? before : undefined),
    remember: async () => undefined,
    forget: async () => undefined,
    progress: () => undefined,
  } as unknown as ApplyContext;
  const action = { op: "restart-docker" } as const;
  const step = { kind: ENGINE_DNS_KIND, target: DOCKER_UNIT, verb: "restart", summary: "", action } as const;
  return engineDnsKind.execute(step, context).catch((error: unknown) => error);
}

test("a Docker that takes up no live-restore is not restarted, as what runs in it would end; its file is put back", async () => {
  const host = dockerHost({ isUp: true });
  expect(String(await restart(host))).toContain("the file was put back");
  expect(host.log).not.toContain(`systemctl restart ${DOCKER_UNIT}`);
  expect(await host.files.read(PATHS.dockerDaemon)).toMatchObject({ value: BEFORE });
});

test("a Docker that does not come up is started with its file from before", async () => {
  const host = dockerHost({ isUp: false });
  expect(String(await restart(host))).toContain("the file was put back");
  expect(host.log.filter((line) => line === `systemctl restart ${DOCKER_UNIT}`)).toHaveLength(2);
  expect(await host.files.read(PATHS.dockerDaemon)).toMatchObject({ value: BEFORE });
});
