import { expect, test } from "bun:test";
import { leftBehind } from "./machine-snapshot.ts";

const own = ["/run/netns/jiji-lab-t1.switch", "process 7 wireguard-go jiji0 (0::/jiji-lab-t1.web1/payload)"];
const unnamed = "process 8 wireguard-go jiji0 (0::/)";
const others = ["/sys/fs/cgroup/jiji-lab-t2.web1", "mount /var/tmp/jiji-lab/t2/servers/web1/root"];

test("alone on the machine everything new counts", () => {
  expect(leftBehind([unnamed], [unnamed, ...own], "t1")).toEqual(own);
  expect(leftBehind([], [unnamed], "t1")).toEqual([unnamed]);
});

test("beside other labs only what bears the lab's id", () => {
  expect(leftBehind(others, [unnamed, ...own], "t1")).toEqual(own);
  expect(leftBehind([], [...others, unnamed], "t1")).toEqual([]);
});
