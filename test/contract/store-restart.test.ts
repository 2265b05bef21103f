import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openStoreClient } from "../../src/store/client.ts";
import { eventsOf, IMPLEMENTATIONS, TOKEN, type StoreUnderTest } from "./store-under-test.ts";

/** Corrosion takes its time to leave a cluster, even an empty one. */
const POLITE_STOP_MS = 20_000;

describe.each(IMPLEMENTATIONS)("restart: $name", ({ start }) => {
  let store: StoreUnderTest;

  beforeAll(async () => {
    store = await start();
  });
  afterAll(() => store.close());

  test(
    "ends every stream; the same statement then has all rows, and goes on",
    async () => {
      const statement = { sql: "SELECT id, body FROM notes WHERE id LIKE ?", params: ["again-%"] };
      const client = openStoreClient({ url: store.url, token: TOKEN });
      const insert = (id: string) => ({ sql: "INSERT INTO notes (id, body) VALUES (?, 'x')", params: [id] });
      await client.transact([insert("again-1")]);
      const before = await client.subscribe(statement);
      const events = eventsOf(before);
      await events.snapshot();
      await client.transact([insert("again-2")]);
      expect(await events.next()).toMatchObject({ rowId: 2, changeId: 1 });
      const ended = (async () => {
        while ((await events.next()) !== undefined);
      })();
      await store.restart();
      await ended;

      const again = openStoreClient({ url: store.url, token: TOKEN });
      const after = await again.subscribe(statement);
      const later = eventsOf(after);
      expect(await later.snapshot()).toMatchObject([
        { type: "columns", columns: ["id", "body"] },
        { type: "row", values: ["again-1", "x"] },
        { type: "row", values: ["again-2", "x"] },
        { type: "ready" },
      ]);
      const changed = await again.transact([{ sql: "DELETE FROM notes WHERE id = 'again-1'" }, insert("again-3")]);
      expect(changed.version).not.toBeNull();
      const changes = [await later.next(), await later.next()];
      expect(changes).toContainEqual(expect.objectContaining({ change: "insert", values: ["again-3", "x"] }));
      expect(changes).toContainEqual(expect.objectContaining({ change: "delete", values: ["again-1", "x"] }));
      again.close();
    },
    POLITE_STOP_MS,
  );
});
