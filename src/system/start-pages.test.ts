import { expect, test } from "bun:test";
import { constantRanges, releaseStartPages } from "./start-pages.ts";

const MAPS = `00200000-01a39000 r--p 00000000 fe:00 1071                   /opt/jiji/bin/jiji
01a40000-0684a000 r-xp 01838000 fe:00 1071                   /opt/jiji/bin/jiji
06850000-06867000 r--p 06640000 fe:00 1071                   /opt/jiji/bin/jiji
06867000-0716a000 rw-p 06657000 fe:00 1071                   /opt/jiji/bin/jiji
7f844c102000-7f848c102000 rwxp 00000000 00:00 0
7f848c46d000-7f848c5c3000 r-xp 00026000 fe:00 42             /usr/lib/x86_64-linux-gnu/libc.so.6
`;

test("what is given back is the program's constants and code, and nothing behind them", () => {
  expect(constantRanges(MAPS, "/opt/jiji/bin/jiji")).toEqual([
    { from: 0x200000, bytes: 0x1839000 },
    { from: 0x1a40000, bytes: 0x4e0a000 },
  ]);
});

test("nothing is given back of a program that is mapped in another way", () => {
  expect(constantRanges(MAPS, "/opt/jiji/bin/other")).toEqual([]);
  expect(
    constantRanges(
      "00200000-01a39000 rw-p 00000000 fe:00 1 /bin/x\n01a40000-0684a000 r-xp 0 fe:00 1 /bin/x\n",
      "/bin/x",
    ),
  ).toEqual([]);
  expect(constantRanges("00200000-01a39000 r--p 00000000 fe:00 1 /bin/x\n", "/bin/x")).toEqual([]);
});

test.if(process.platform === "linux")("the process goes on", () => {
  releaseStartPages();
  expect(Math.max(...[3, 1, 2])).toBe(3);
});
