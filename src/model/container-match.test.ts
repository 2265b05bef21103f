import { expect, test } from "bun:test";
import { matchRank, type ContainerHandles } from "./container-match.ts";

const container: ContainerHandles = {
  id: `abc1${"0".repeat(60)}`,
  name: "shop_api_1",
  address: "10.210.0.2",
  project: "shop",
  service: "api",
  instance: "one",
};

test.each([
  [container.id, 0],
  ["shop_api_1", 0],
  ["10.210.0.2", 0],
  ["shop-api-one", 1],
  ["SHOP-api-one.jiji.", 1],
  ["shop-api", 2],
  ["shop-api.jiji", 2],
  ["one", 3],
  ["abc1", 4],
  ["a", 4],
  ["ABC1", undefined],
  ["", undefined],
  ["shop", undefined],
  ["shop_api", undefined],
  ["10.210.0.20", undefined],
  [`${container.id}0`, undefined],
  ["\u0000", undefined],
])("%p", (text, rank) => {
  expect(matchRank(text, container)).toBe(rank);
});

test("what is not known fits nothing", () => {
  const bare = { id: container.id, name: null, address: null, project: null, service: null, instance: null };
  expect(matchRank("null-null", bare)).toBeUndefined();
  expect(matchRank("null", bare)).toBeUndefined();
});
