import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  ipv4FromNumber,
  ipv4ToNumber,
  parseEndpoint,
  parseIpv4,
  parseNumericAddress,
  splitHostPort,
} from "./address.ts";

describe("parseIpv4", () => {
  test("every 32-bit number prints and reads back as itself", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), (value) => {
        const text = ipv4FromNumber(value);
        expect(parseIpv4(text)).toBe(text);
        expect(ipv4ToNumber(text)).toBe(value);
      }),
    );
  });

  test.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "1.2.3.256",
    " 1.2.3.4",
    "1.2.3.4\n",
    "1.2.3.-4",
    "1.2.3.4/8",
    "1.2.3.٤",
  ])("%p is not an address", (text) => {
    expect(parseIpv4(text)).toBeUndefined();
  });
});

describe("parseNumericAddress", () => {
  test.each([
    ["2001:0DB8:0:0:0:0:0:7", "2001:db8::7"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["::ffff:192.0.2.7", "::ffff:c000:207"],
    ["192.0.2.7", "192.0.2.7"],
  ])("%p prints as %p", (text, canonical) => {
    expect(parseNumericAddress(text)).toBe(canonical);
    expect(parseNumericAddress(canonical)).toBe(canonical);
  });

  test.each([
    "",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "fe80::1%eth0",
    "1:2:3:4:5:6:7::8",
    "::1.2.3.4.5",
    "web1",
  ])("%p is not an address", (text) => {
    expect(parseNumericAddress(text)).toBeUndefined();
  });

  test("reading what was printed gives the same address, for any eight groups", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 }),
        (groups) => {
          const full = groups.map((group) => group.toString(16)).join(":");
          const canonical = parseNumericAddress(full);
          expect(canonical).toBeDefined();
          expect(parseNumericAddress(canonical ?? "")).toBe(canonical);
        },
      ),
    );
  });
});

describe("parseEndpoint", () => {
  test.each([
    ["192.0.2.7:31820", "192.0.2.7:31820"],
    ["[2001:DB8::0:7]:1", "[2001:db8::7]:1"],
  ])("%p reads as %p", (text, endpoint) => {
    expect(parseEndpoint(text)).toBe(endpoint as never);
  });

  test.each([
    "192.0.2.7",
    "192.0.2.7:0",
    "192.0.2.7:65536",
    "web1:31820",
    "2001:db8::7:31820",
    "192.0.2.7:31820\nPostUp = x",
    "[192.0.2.7:1",
  ])("%p is none", (text) => {
    expect(parseEndpoint(text)).toBeUndefined();
  });

  test("a name and a port are split without being judged", () => {
    expect(splitHostPort("web1.example.com:31820")).toEqual({ host: "web1.example.com", port: 31820 });
    expect(splitHostPort("web1.example.com")).toBeUndefined();
  });
});
