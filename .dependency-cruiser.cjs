// The direction of imports (docs/architecture.md): bin > cli, node > agent, dns > apply > plan > render, desired >
// config, store, engine > system > model. A folder may import its own files and those of every layer below it.
const layers = [
  ["model"],
  ["system"],
  ["config", "store", "engine"],
  ["render", "desired"],
  ["plan"],
  ["apply"],
  ["agent", "dns"],
  ["cli", "node"],
  ["bin"],
];

/** Folders that touch no disk, network, clock or randomness. */
const pureFolders = ["model", "config", "desired", "plan", "render"];

/**
 * Modules without side effects; making keys is the caller's business, hashing and checking signatures is not. Of `bun` the
 * linter allows only what is pure.
 */
const pureBuiltins = "^(bun$|(node:)?(path|crypto|util|buffer|assert|querystring|url|punycode|string_decoder)(/|$))";

/** Contracts that have no effects themselves: what decides may name them. */
const contracts = "^src/(system/host|store/(schema|queries)|engine/engine)\\.ts$";

const tests = "\\.test\\.ts$";
const inFolders = (folders) => `^src/(${folders.join("|")})/`;

const upward = layers.slice(0, -1).map((folders, index) => ({
  name: `no-upward-import-from-${folders.join("-")}`,
  comment: "imports point downwards only: move what both need into the lower folder",
  severity: "error",
  from: { path: inFolders(folders), pathNot: tests },
  to: { path: inFolders(layers.slice(index + 1).flat()) },
}));

const sideways = layers
  .filter((folders) => folders.length > 1)
  .flat()
  .map((folder) => ({
    name: `no-sideways-import-from-${folder}`,
    comment: "folders of one layer do not know each other: move what both need into the layer below",
    severity: "error",
    from: { path: inFolders([folder]), pathNot: tests },
    to: { path: inFolders(layers.find((folders) => folders.includes(folder)).filter((other) => other !== folder)) },
  }));

/** The same within jiji-dns: what is counted lies below what reports it. */
const dnsFloors = [["wire"], ["telemetry", "zone"], ["forward"], ["packets", "feed"], ["operation"]];

const upwardInDns = dnsFloors.slice(0, -1).map((folders, index) => ({
  name: `no-upward-import-from-dns-${folders.join("-")}`,
  comment: "a folder of jiji-dns imports only those below it: move what both need into the lower one",
  severity: "error",
  from: { path: `^src/dns/(${folders.join("|")})/`, pathNot: tests },
  to: {
    path: `^src/dns/([a-z-]+\\.ts$|(${dnsFloors
      .slice(index + 1)
      .flat()
      .join("|")})/)`,
  },
}));

/** One folder for each group of commands of `jiji network`. */
const commandFolders = "setup|teardown|status|names|containers|records";

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...upward,
    ...sideways,
    ...upwardInDns,
    {
      name: "known-folders-only",
      comment: "a new folder under src needs its place in the order above",
      severity: "error",
      from: { path: "^src/", pathNot: inFolders(layers.flat()) },
      to: {},
    },
    {
      name: "pure-folders-have-no-effects",
      comment: "what decides must be testable without a machine: take the value as a parameter",
      severity: "error",
      from: { path: [inFolders(pureFolders), contracts], pathNot: tests },
      to: { dependencyTypes: ["core"], pathNot: pureBuiltins },
    },
    {
      name: "pure-folders-know-no-ports",
      comment: "what decides knows no implementation of a port: what both need stands in model or in the contract",
      severity: "error",
      from: { path: inFolders(pureFolders), pathNot: tests },
      to: { path: inFolders(["system", "store", "engine"]), pathNot: contracts },
    },
    {
      name: "commands-do-not-know-each-other",
      comment: "a command is nobody's library: move what two of them need into cli/servers or cli/rollout",
      severity: "error",
      from: { path: `^src/cli/(${commandFolders})/` },
      to: { path: `^src/cli/(${commandFolders})/`, pathNot: "^src/cli/$1/" },
    },
    {
      name: "commands-are-known-to-their-list-alone",
      comment: "a command is nobody's library: move what others need into cli/servers or cli/rollout",
      severity: "error",
      from: { path: "^src/cli/", pathNot: `^src/cli/(commands\\.ts|(${commandFolders})/)` },
      to: { path: `^src/cli/(${commandFolders})/` },
    },
    {
      name: "product-does-not-know-its-workshop",
      comment: "src is what is shipped; tools, lab, test, bench and scripts are not",
      severity: "error",
      from: { path: "^src/", pathNot: tests },
      to: { path: "^(tools|lab|test|bench|scripts)/" },
    },
    {
      name: "tools-stand-below-the-lab",
      comment: "scripts > lab > tools: what lab and scripts both need stands in tools",
      severity: "error",
      from: { path: "^tools/" },
      to: { path: "^(lab|test|bench|scripts)/" },
    },
    {
      name: "lab-stands-below-scripts",
      comment: "scripts > lab > tools: what lab and scripts both need stands in tools",
      severity: "error",
      from: { path: "^lab/" },
      to: { path: "^(test|bench|scripts)/" },
    },
    {
      name: "product-has-no-development-packages",
      comment: "what src imports must stand in package.json's dependencies",
      severity: "error",
      from: { path: "^src/", pathNot: tests },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"], pathNot: "^bun(:|$)|@types/bun" },
    },
    {
      name: "no-test-is-imported",
      comment: "what two tests need stands in a file of its own under test/",
      severity: "error",
      from: {},
      to: { path: tests },
    },
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "everything-resolves",
      severity: "error",
      from: {},
      to: { couldNotResolve: true, pathNot: "^bun(:|$)" },
    },
  ],
  options: {
    // Without this TypeScript 7's missing API makes the tool report success over no module at all.
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(dist|node_modules)/" },
    builtInModules: { add: ["bun", "bun:ffi", "bun:sqlite", "bun:test", "bun:jsc"] },
    enhancedResolveOptions: {
      extensions: [".ts", ".mjs", ".js", ".json"],
      exportsFields: ["exports"],
      conditionNames: ["import", "default"],
    },
  },
};
