import { expect, test } from "bun:test";
import { engineChoices, recipeFor, releases } from "./recipe.ts";

test("each kind of server has an image of its own, with a readable name", () => {
  const keys = releases.flatMap((release) => engineChoices.map((engine) => recipeFor(release, engine).key));
  expect(new Set(keys).size).toBe(12);
  expect(recipeFor("trixie", "both").key).toMatch(/^trixie-both-[0-9a-f]{12}$/);
});

test("a server has the engines that were asked for and no other", () => {
  const engines = (choice: (typeof engineChoices)[number]) =>
    ["docker.io", "podman"].filter((name) => recipeFor("trixie", choice).engines.includes(name));
  expect(engineChoices.map((choice) => [choice, engines(choice)])).toEqual([
    ["docker", ["docker.io"]],
    ["podman", ["podman"]],
    ["both", ["docker.io", "podman"]],
    ["none", []],
  ]);
});
