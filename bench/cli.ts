// npm run bench -- NAME [OPTION…]: one measurement, side by side with peers where there are any. A table on standard
// output, or JSON with --json.

/** A measurement; gets the arguments behind its name and gives the exit code. */
type Bench = (args: readonly string[]) => Promise<number>;

const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  dns: async () => (await import("./dns/dns-bench.ts")).dnsBench,
  probes: async () => (await import("./probes/command.ts")).probes,
  propagation: async () => (await import("./propagation/command.ts")).propagation,
  scale: async () => (await import("./scale/command.ts")).scale,
};

const [name = "", ...args] = process.argv.slice(2);
if (name === "--help" || name === "-h") {
  console.log(`usage: npm run bench -- ${Object.keys(BENCHES).join(" | ")} [--help]`);
  process.exit(0);
}
const load = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
if (load === undefined) {
  console.error(`error: ${name === "" ? "no measurement is named" : `no measurement is called ${name}`}`);
  console.error(`hint: npm run bench -- ${Object.keys(BENCHES).join(" | ")}`);
  process.exit(2);
}
process.exitCode = await (await load())(args);
