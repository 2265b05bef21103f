import { expect, test } from "bun:test";
import { finding, FINDINGS, findingSchema, formatFinding } from "./finding.ts";

test("texts hold the values they are given, and no more is made of a value", () => {
  const seen = finding("unit-down", { server: "web1", unit: "jiji-dns.service", state: "{unit}" });
  expect(seen).toEqual({
    code: "unit-down",
    severity: "error",
    server: "web1",
    what: "jiji-dns.service is {unit}",
    evidence: null,
    cure: "journalctl -u jiji-dns.service -n 50",
  });
  expect(findingSchema.parse(seen)).toEqual(seen);
});

test("what was seen stands after the sentence; whoever finds it may know a better cure", () => {
  const seen = finding("login", { evidence: "its host key is not known", cure: "ssh web1" });
  expect(formatFinding(seen)).toBe("jiji cannot log in: its host key is not known");
  expect(seen.cure).toBe("ssh web1");
  expect(finding("login").cure).toBe(FINDINGS.login.cure);
});

test("codes are for scripts, sentences without an end, cures not empty", () => {
  for (const [code, { what, cure }] of Object.entries(FINDINGS)) {
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(what).not.toMatch(/[.:]$/);
    expect(cure).not.toBe("");
  }
});
