import { describe, expect, test } from "bun:test";
import { formatStoreUrl, parseStoreUrl, storeAddress } from "./store-url.ts";

describe("parseStoreUrl", () => {
  test.each([
    ["http://127.0.0.1:31220", { kind: "tcp", host: "127.0.0.1", port: 31220 }],
    ["http://[fd00::1]:80/", { kind: "tcp", host: "fd00::1", port: 80 }],
    ["http://web1.example:1", { kind: "tcp", host: "web1.example", port: 1 }],
    ["unix:/run/jiji/agent/store.sock", { kind: "unix", path: "/run/jiji/agent/store.sock" }],
  ] as const)("%s", (text, address) => {
    const url = parseStoreUrl(text);
    expect(url).toBeDefined();
    if (url === undefined) return;
    expect(storeAddress(url)).toEqual(address);
    expect(String(formatStoreUrl(address))).toBe(text.replace(/\/$/, ""));
  });

  test.each([
    "",
    "http://127.0.0.1",
    "http://127.0.0.1:0",
    "http://127.0.0.1:65536",
    "http://127.0.0.1:080",
    "https://127.0.0.1:80",
    "http://user@127.0.0.1:80",
    "http://127.0.0.1:80/v1",
    "http://127.0.0.1:80?x",
    "http://a b:80",
    "http://a\n:80",
    "unix:relative",
    "unix:/",
    "unix:/a\0b",
    `unix:/${"x".repeat(107)}`,
  ])("refuses %j", (text) => {
    expect(parseStoreUrl(text)).toBeUndefined();
  });
});
