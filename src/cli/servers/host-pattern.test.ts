import { expect, test } from "bun:test";
import type { ServerConfig } from "../../config/deploy-config.ts";
import { makeServer } from "../../../test/mesh-makers.ts";
import { selectServers } from "./host-pattern.ts";

const servers: readonly ServerConfig[] = ["web1", "web2", "home"].map(
  (name) => makeServer(name, { host: `${name}.example.com` as never }).config,
);

const chosen = (...patterns: string[]): string[] => selectServers(servers, patterns).map(({ name }) => name);

test("names, hosts, wildcards, several; the order of the file", () => {
  expect(chosen()).toEqual(["web1", "web2", "home"]);
  expect(chosen("home", "web1")).toEqual(["web1", "home"]);
  expect(chosen("web*")).toEqual(["web1", "web2"]);
  expect(chosen("WEB?")).toEqual(["web1", "web2"]);
  expect(chosen("home,web2")).toEqual(["web2", "home"]);
  expect(chosen("*.example.com")).toEqual(["web1", "web2", "home"]);
});

test("signs of regular expressions mean themselves", () => {
  for (const pattern of ["web.", "(web1)", "web1|home", "^web1", "[w]eb1", "w+"])
    expect(() => chosen(pattern)).toThrow("matches --hosts");
});

test("a pattern that matches none is a mistake, not an empty list", () => {
  expect(() => chosen("web1", "hmoe")).toThrow("no server of the file matches --hosts hmoe");
  expect(() => chosen("")).toThrow();
});
