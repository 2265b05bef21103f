import { expect, test } from "bun:test";
import fc from "fast-check";
import { showJson, showLines, showText } from "./shown-text.ts";
import { anyText } from "../../test/any-text.ts";

// security-tests: server-output-is-data
test("what a terminal would act on is written out", () => {
  expect(showText("plain, with ümlaut, 中文 and 🙂")).toBe("plain, with ümlaut, 中文 and 🙂");
  expect(showText("\u001b[2J\r\n\t\u0000\u009b")).toBe("\\u001b[2J\\u000d\\n\\t\\u0000\\u009b");
  expect(showText("a\u202eb\u2066c\u200bd\ufeff")).toBe("a\\u202eb\\u2066c\\u200bd\\ufeff");
  expect(showText("\u{e0041}")).toBe("\\u{e0041}");
});

test("no control, bidirectional or unpaired character is left, whatever comes", () => {
  fc.assert(
    fc.property(anyText({ maxLength: 200 }), (text) => {
      expect(showText(text)).not.toMatch(/[\p{Cc}\p{Cs}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u);
    }),
  );
});

test("JSON: every string in it, keys too", () => {
  expect(showJson({ "a\n": ["\u001b", 1, null, true, { b: "c" }] })).toEqual({
    "a\\n": ["\\u001b", 1, null, true, { b: "c" }],
  });
});

test("several lines stay several, and none begins at the margin", () => {
  expect(showLines("a\nerror: b\r\n\u001b")).toBe("a\n    error: b\n    \\u001b");
});
