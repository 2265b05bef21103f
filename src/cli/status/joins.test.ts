import { expect, test } from "bun:test";
import { joinNotes } from "./joins.ts";
import type { StatusRow } from "./text.ts";

const NOW = Date.UTC(2026, 10, 25, 12);
const day = 24 * 3_600_000;

type Known = readonly [id: string, name: string, subnet: number, firstSeenMs: number | null];

function row(id: string, members: readonly Known[]): StatusRow {
  const listed = members.map(([memberId, name, subnet, firstSeenMs]) => ({ id: memberId, name, subnet, firstSeenMs }));
  const status = { identity: { state: "found", value: { id } }, members: listed };
  return { name: id, status } as unknown as StatusRow;
}

const away = { name: "away", status: undefined } as unknown as StatusRow;

// security-tests: joins-are-seen
test("who joined lately, the latest first, by the earliest that anybody noted", () => {
  const [a, b]: readonly [Known, Known] = [
    ["a", "web1", 0, NOW - 30 * day],
    ["b", "home", 1, NOW - day],
  ];
  const rows = [
    row("a", [a, b, ["c", "db1", 2, NOW - 60_000]]),
    row("b", [["c", "db1", 2, NOW - 120_000], a]),
    row("c", []),
  ];
  expect(joinNotes(rows, NOW)).toEqual([
    "joined in the last 7 days: db1 (number 2, 2026-11-25 11:58 UTC); home (number 1, 2026-11-24 12:00 UTC)",
  ]);
});

// security-tests: joins-are-seen
test("a member that is not in the file, when all of the file's servers were asked", () => {
  const rows = [
    row("a", [
      ["a", "web1", 0, null],
      ["x", "newcomer", 77, null],
    ]),
  ];
  expect(joinNotes(rows, NOW)).toEqual(["a member that is not in this file: newcomer (number 77)"]);
  expect(joinNotes([...rows, away], NOW)).toEqual([]);
});
