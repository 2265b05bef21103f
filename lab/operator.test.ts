import { expect, test } from "bun:test";
import { renderSshConfig } from "./operator.ts";

test("ssh knows the servers by name and address, and checks their keys", () => {
  const operator = {
    namespace: "jiji-lab-x.operator",
    address: "198.51.100.254",
    home: "/lab/operator",
    sshConfig: "/lab/operator/.ssh/config",
    privateKey: "/lab/operator/.ssh/id_ed25519",
  };
  expect(renderSshConfig(operator, [["web1", "198.51.100.11"]])).toBe(`Host web1 198.51.100.11
  HostName 198.51.100.11
  HostKeyAlias web1

Host *
  User root
  IdentityFile /lab/operator/.ssh/id_ed25519
  IdentitiesOnly yes
  UserKnownHostsFile /lab/operator/.ssh/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
`);
});
