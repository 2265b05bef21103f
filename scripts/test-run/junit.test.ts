import { expect, test } from "bun:test";
import { parseJunit } from "./junit.ts";

test("passed, failed, skipped and to-do cases of nested suites", () => {
  const results = parseJunit(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="4" failures="1" skipped="2" time="0.16">
  <testsuite name="a.test.ts" file="a.test.ts">
    <testsuite name="outer &lt;x&gt; &amp; &quot;q&quot;" file="a.test.ts" line="2">
      <testcase name="ok" classname="outer &lt;x&gt; &amp; &quot;q&quot;" time="0.0125" file="a.test.ts" line="3" />
      <testcase name="left out" classname="inner &gt; outer" time="0" file="a.test.ts"><skipped /></testcase>
      <testcase name="later" classname="outer" time="0" file="a.test.ts">
        <skipped message="TODO" />
      </testcase>
      <testcase name="bad" classname="" time="0.5" file="a.test.ts">
        <failure type="AssertionError" message="expected&#10;1 &gt; 2">at a.test.ts:7:55</failure>
      </testcase>
    </testsuite>
  </testsuite>
</testsuites>`);
  expect(results).toEqual([
    { name: 'a.test.ts › outer <x> & "q" › ok', status: "passed", durationMs: 12.5 },
    { name: "a.test.ts › outer › inner › left out", status: "skipped", durationMs: 0, why: "" },
    { name: "a.test.ts › outer › later", status: "skipped", durationMs: 0, why: "TODO" },
    { name: "a.test.ts › bad", status: "failed", durationMs: 500, why: "expected\n1 > 2" },
  ]);
});

test("a report without cases", () => {
  expect(parseJunit("")).toEqual([]);
  expect(parseJunit("<testsuites tests='0'></testsuites>")).toEqual([]);
});
