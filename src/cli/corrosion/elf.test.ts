import { expect, test } from "bun:test";
import { parseElf } from "./elf.ts";

function elf(machine: number, tail = ""): Buffer {
  const header = Buffer.alloc(64);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]).copy(header);
  header.writeUInt16LE(machine, 18);
  return Buffer.concat([header, Buffer.from(tail, "latin1")]);
}

test("processor and newest glibc of an executable", () => {
  expect(parseElf(elf(62, "x\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.4\0"))).toEqual({ arch: "x64", glibc: "2.34" });
  expect(parseElf(elf(183, "GLIBC_2.17\0GLIBC_2.x"))).toEqual({ arch: "arm64", glibc: "2.17" });
  expect(parseElf(elf(243))).toEqual({ arch: undefined, glibc: "0" });
});

test("what is no 64-bit little-endian ELF file", () => {
  expect(parseElf(Buffer.from("#!/bin/sh\n"))).toBeUndefined();
  expect(parseElf(Buffer.alloc(0))).toBeUndefined();
  expect(parseElf(elf(62).fill(1, 4, 5))).toBeUndefined();
});
