import { expect, test } from "bun:test";
import { createColors } from "picocolors";
import { renderTable } from "./table.ts";

test("columns are as wide as terminals show their cells", () => {
  const colors = createColors(true);
  const rows = [
    ["web1", colors.red("down"), "x"],
    ["網路", "ok", ""],
  ];
  expect(Bun.stripANSI(renderTable(["NAME", "S", "MORE"], rows))).toBe(
    ["NAME  S     MORE", "web1  down  x", "網路  ok"].join("\n"),
  );
});

test("thousands of rows are no matter", () => {
  const rows = Array.from({ length: 2000 }, (_, index) => ["shop-api.jiji", `10.210.1.${index}`, "healthy"]);
  expect(renderTable(["NAME", "ADDRESS", "STATE"], rows).split("\n")).toHaveLength(2001);
});
