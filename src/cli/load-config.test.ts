import { expect, test } from "bun:test";
import { configCandidates, isEnvironmentName } from "./load-config.ts";

test("from the folder upwards, to the root", () => {
  expect(configCandidates("/home/ann/shop", undefined)).toEqual([
    "/home/ann/shop/.jiji/deploy.yml",
    "/home/ann/.jiji/deploy.yml",
    "/home/.jiji/deploy.yml",
    "/.jiji/deploy.yml",
  ]);
  expect(configCandidates("/a", "staging")).toEqual(["/a/.jiji/jiji.staging.yml", "/.jiji/jiji.staging.yml"]);
});

test("an environment cannot lead to another folder", () => {
  for (const name of ["staging", "eu-1", "v1.2"]) expect(isEnvironmentName(name)).toBe(true);
  for (const name of ["", "..", "../x", "a/b", "-x", "a b"]) expect(isEnvironmentName(name)).toBe(false);
});
