import { expect, test } from "bun:test";
import { instanceLabel, normalizeToLabel, parseDnsLabel, serviceLabel, type DnsLabel } from "./names.ts";

test.each(["web", "a", "0", "my-app", "a".repeat(63)])("%p is a label", (text) =>
  expect(parseDnsLabel(text)).toBe(text as DnsLabel),
);

test.each(["", "-a", "a-", "a.b", "a_b", "A", "a".repeat(64), "ä", "a\n", "a b"])("%p is no label", (text) =>
  expect(parseDnsLabel(text)).toBeUndefined(),
);

test("people's names become labels where that is possible", () => {
  expect(normalizeToLabel("My_App.Web")).toBe("my-app-web" as DnsLabel);
  expect(normalizeToLabel("_x")).toBeUndefined();
  expect(normalizeToLabel("web\u0000")).toBeUndefined();
});

test("a composed name that is longer than a label may be is none", () => {
  const long = "a".repeat(40) as DnsLabel;
  expect(serviceLabel("p" as DnsLabel, "s" as DnsLabel)).toBe("p-s" as DnsLabel);
  expect(serviceLabel(long, long)).toBeUndefined();
  expect(instanceLabel("p" as DnsLabel, "s" as DnsLabel, "1" as DnsLabel)).toBe("p-s-1" as DnsLabel);
});
