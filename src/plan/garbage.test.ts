import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { parseServerId, type ServerId } from "../model/keys.ts";
import type { GcRow } from "../model/node/gc.ts";
import { findGarbage, type GcView } from "./garbage.ts";

/** A server's id, the same for the same name. */
function idOf(name: string): ServerId {
  const digest = createHash("sha256").update(name).digest();
  const id = [digest.toString("hex"), digest.toString("hex").slice(0, 32), digest.toString("base64url")]
    .map((text) => parseServerId(text))
    .find((parsed) => parsed !== undefined);
  if (id === undefined) throw new Error("no form of an id fits");
  return id;
}

function row(owner: string, n: number | null, why: GcRow["why"], what: string | null = "shop / api"): GcRow {
  const table = n === null ? "servers" : "containers";
  return { table, owner: idOf(owner), n, what, containerId: what === null ? null : "c".repeat(64), why };
}

interface ViewParts {
  readonly members?: readonly string[];
  readonly removed?: Readonly<Record<string, number | null>>;
  readonly tombstones?: readonly string[];
  readonly rows?: readonly GcRow[];
  readonly uncompared?: string;
}

function view(server: string, parts: ViewParts = {}): GcView {
  const { members = ["web1", "home"], removed = {}, tombstones = [], rows = [], uncompared = null } = parts;
  return {
    server,
    rows,
    seen: {
      self: idOf(server),
      unlisted: 0,
      members: members.map((name, subnet) => ({ id: idOf(name), name, subnet })),
      removed: Object.entries(removed).map(([name, subnet]) => ({ id: idOf(name), name, subnet })),
      tombstones: tombstones.map(idOf),
      uncompared,
    },
  };
}

describe("what is stale", () => {
  test("rows of a removed server, and its number is still taken", () => {
    const rows = [row("old1", 0, "not a member"), row("old1", null, "not a member", "old1")];
    const found = findGarbage([
      view("web1", { removed: { old1: 2 }, rows }),
      view("home", { removed: { old1: null } }),
    ]);
    expect(found.stale.map(({ table, ownerName, reason, by }) => [table, ownerName, reason, by])).toEqual([
      ["containers", "old1", "its server was removed", "delete"],
      ["servers", "old1", "its server was removed", "delete"],
    ]);
    expect(found.removed).toEqual([{ id: idOf("old1"), name: "old1", subnet: 2, openOn: ["web1"] }]);
    expect(found.kept).toEqual([]);
  });

  test("a server that has not heard of the removal is named, though nothing else is to be done", () => {
    const found = findGarbage([view("web1", { removed: { old1: null } }), view("home", { members: ["home", "old1"] })]);
    expect(found.stale).toEqual([]);
    expect(found.removed).toMatchObject([{ name: "old1", subnet: null, openOn: ["home"] }]);
  });

  test("an own row without its container is its owner's to delete", () => {
    const rows = [row("web1", 3, "absent"), row("web1", 4, "absent", null)];
    const { stale } = findGarbage([view("web1", { rows }), view("home")]);
    expect(stale.map(({ n, reason, by }) => [n, reason, by])).toEqual([
      [3, "its server has no such container", "owner"],
      [4, "its server knows of no record in it", "owner"],
    ]);
  });

  test("the same row seen by several is one row", () => {
    const rows = [row("old1", 0, "not a member")];
    const views = ["web1", "home"].map((name) => view(name, { removed: { old1: 2 }, rows }));
    expect(findGarbage(views).stale).toHaveLength(1);
  });
});

describe("what stays", () => {
  test("rows of a member that is silent", () => {
    const rows = [row("home", 0, "not a member")];
    expect(findGarbage([view("web1", { rows })])).toEqual({ stale: [], kept: [], removed: [] });
  });

  test("rows of a server whose engine does not answer", () => {
    const rows = [row("web1", 0, "absent")];
    expect(findGarbage([view("web1", { rows, uncompared: "docker is away" })]).stale).toEqual([]);
  });

  test("what one server says of another's containers", () => {
    expect(findGarbage([view("home", { rows: [row("web1", 0, "absent")] })]).stale).toEqual([]);
  });

  test("rows of an owner that nobody knows", () => {
    const { stale, kept } = findGarbage([view("web1", { rows: [row("made-up", 0, "not a member")] })]);
    expect(stale).toEqual([]);
    expect(kept).toMatchObject([{ owner: idOf("made-up"), rows: 1 }]);
  });

  // security-tests: gc-rows
  test("a member that only the store calls removed", () => {
    const rows = [row("home", 0, "not a member")];
    const { stale, kept, removed } = findGarbage([view("web1", { tombstones: ["home"], rows })]);
    expect({ stale, removed }).toEqual({ stale: [], removed: [] });
    expect(kept).toMatchObject([{ ownerName: "home", why: expect.stringContaining("no operator's command has") }]);
  });
});

test("the store's word counts for one that is nobody's member; members.json is left alone for it", () => {
  const found = findGarbage([view("web1", { tombstones: ["old1"], rows: [row("old1", 0, "not a member")] })]);
  expect(found.stale).toMatchObject([{ by: "delete" }]);
  expect(found.removed).toEqual([{ id: idOf("old1"), name: "", subnet: null, openOn: [] }]);
});

test("the store's word does not count for a server that answers itself, whoever else knows it", () => {
  const parts = { members: ["web1"], tombstones: ["home"] };
  const rows = [row("home", 0, "not a member")];
  const { stale, removed } = findGarbage([view("web1", { ...parts, rows }), view("home", parts)]);
  expect({ stale, removed }).toEqual({ stale: [], removed: [] });
});

test("one server's word that another was removed does not count against that one's own answer", () => {
  const rows = [row("home", 0, "not a member")];
  const all = [view("web1", { members: ["web1"], removed: { home: 1 }, rows }), view("home")];
  const { stale, kept, removed } = findGarbage(all);
  expect({ stale, removed }).toEqual({ stale: [], removed: [] });
  expect(kept).toMatchObject([{ ownerName: "home", why: expect.stringContaining("it answers") }]);
});

const names = ["web1", "home", "db1", "old1", "old2", "stranger"] as const;
const name = fc.constantFrom(...names);
const someNames = fc.uniqueArray(name, { maxLength: 5 });
const gcRow = fc
  .record({
    owner: name,
    n: fc.option(fc.nat(3), { nil: null }),
    why: fc.constantFrom<GcRow["why"]>("absent", "not a member"),
    what: fc.option(fc.constant("shop / api"), { nil: null }),
  })
  .map(({ owner, n, why, what }) => row(owner, n, why, what));
const parts = fc.record({
  members: someNames,
  removed: fc.dictionary(name, fc.option(fc.nat(5), { nil: null }), { maxKeys: 3 }),
  tombstones: someNames,
  rows: fc.array(gcRow, { maxLength: 6 }),
  uncompared: fc.constantFrom(undefined, "away"),
});
const views = fc
  .uniqueArray(fc.tuple(name, parts), { minLength: 1, maxLength: 4, selector: ([server]) => server })
  .map((all) =>
    all.map(([server, { uncompared, ...rest }]) =>
      view(server, uncompared === undefined ? rest : { ...rest, uncompared }),
    ),
  );

describe("whatever the servers say (property)", () => {
  // security-tests: gc-rows
  test("only rows of removed servers are deleted, and every other stale row is its own server's word", () => {
    fc.assert(
      fc.property(views, (all) => {
        const isRemoved = (id: string): boolean =>
          all.some(({ seen }) => seen.removed.some((each) => each.id === id)) ||
          (all.some(({ seen }) => seen.tombstones.includes(id)) &&
            !all.some(({ seen }) => seen.members.some((each) => each.id === id)));
        for (const stale of findGarbage(all).stale) {
          if (stale.by === "delete") expect(isRemoved(stale.owner)).toBe(true);
          else {
            const own = all.find(({ seen }) => seen.self === stale.owner);
            expect(own?.seen.uncompared).toBeNull();
            expect(own?.rows.some(({ n, why }) => n === stale.n && why === "absent")).toBe(true);
          }
        }
      }),
    );
  });

  // security-tests: gc-rows
  test("a silent server that nobody removed loses nothing", () => {
    fc.assert(
      fc.property(views, (all) => {
        const asked = new Set(all.map(({ seen }) => seen.self as string));
        const { stale } = findGarbage(all);
        for (const silent of names.map(idOf)) {
          const removed = all.some(({ seen }) => seen.removed.some(({ id }) => id === silent));
          const isMember = all.some(({ seen }) => seen.members.some(({ id }) => id === silent));
          if (asked.has(silent) || removed || !isMember) continue;
          expect(stale.filter(({ owner }) => owner === silent)).toEqual([]);
        }
      }),
    );
  });

  test("the order of the servers does not matter", () => {
    fc.assert(
      fc.property(views, (all) => {
        expect(findGarbage(all.toReversed())).toEqual(findGarbage(all));
      }),
    );
  });
});
