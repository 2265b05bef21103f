// npm run lab -- …: the lab's library on the command line.
import { Command, Option, InvalidArgumentError } from "commander";
import { ToolError } from "../tools/errors.ts";
import { ensureBaseImage } from "./base-image.ts";
import { printStatus, statusOf } from "./cli-status.ts";
import { listImages, removeImages } from "./image-cache.ts";
import { keepLab, type Lab, openLab, startLab, type ServerRequest } from "./lab.ts";
import { becomeRoot, checkSystem, prepareMachine } from "./machine.ts";
import { enterOperator, operatorEnvironment, operatorOf } from "./operator.ts";
import { engineChoices, releases } from "./recipe.ts";
import { findLabIds, removeLab } from "./remove-lab.ts";
import { enterServer, removeIfEmpty } from "./server-exec.ts";
import { listLabIds } from "./state.ts";

const defaultServers = "web1=trixie/docker,home=trixie/podman,db1=trixie/docker";
const defaultId = "lab";

/** `web1=trixie/docker,home=trixie/podman` */
function parseServers(text: string): ServerRequest[] {
  return text.split(",").map((part) => {
    const [, name, releaseText, engineText] = /^([^=]+)=([^/]+)\/(.+)$/.exec(part) ?? [];
    const release = releases.find((candidate) => candidate === releaseText);
    const engine = engineChoices.find((candidate) => candidate === engineText);
    if (name === undefined || release === undefined || engine === undefined) {
      throw new InvalidArgumentError(
        `${part} is not NAME=RELEASE/ENGINE (releases: ${releases.join(", ")}; engines: ${engineChoices.join(", ")})`,
      );
    }
    return { name, release, engine };
  });
}

/** The lab that is meant: the one that was named, else the only one there is. */
function chooseId(): string {
  const given = chosenId();
  if (given !== undefined) return given;
  const [only, ...more] = listLabIds();
  if (only === undefined) throw new ToolError("no lab is up", "npm run lab -- up");
  if (more.length > 0)
    throw new ToolError("several labs are up", `say which: --id ${[only, ...more].join(" or --id ")}`);
  return only;
}

const program = new Command("lab")
  .description("Real servers on this machine: systemd, sshd, addresses, WireGuard, Docker or Podman. Needs root.")
  .option("--id <id>", "the lab that is meant; not needed when there is one")
  .enablePositionalOptions()
  // A wrong command line is exit code 2, everywhere in this project.
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

function command(name: string, description: string): Command {
  return program.command(name).description(description).option("--id <id>", "the lab that is meant");
}

/** `--id` may stand before or after the command's name. */
function chosenId(): string | undefined {
  const active = program.commands.find((candidate) => candidate.opts()["id"] !== undefined);
  return (active ?? program).opts()["id"] as string | undefined;
}

command("up", "bring servers up; they stay until `down`")
  .addOption(
    new Option("--servers <list>", "NAME=RELEASE/ENGINE, comma-separated")
      .argParser(parseServers)
      .default(parseServers(defaultServers), defaultServers),
  )
  .option("--json", "print the lab as JSON")
  .action(async (options: { servers: ServerRequest[]; json?: true }) => {
    const started = performance.now();
    const lab = await startLab({ id: chosenId() ?? defaultId, servers: options.servers, onProgress: say });
    keepLab(lab.id);
    say(`lab ${lab.id} is up after ${((performance.now() - started) / 1000).toFixed(1)} s`);
    if (options.json) console.log(JSON.stringify(statusOf(lab.id), null, 2));
    else printLogin(lab);
  });

command("status", "show the labs, their servers, links and addresses")
  .option("--json", "print as JSON")
  .action((options: { json?: true }) => {
    const given = chosenId();
    const found = (given === undefined ? findLabIds() : [given]).map(statusOf);
    if (options.json) console.log(JSON.stringify(found, null, 2));
    else printStatus(found);
  });

command("exec", "run a command as root in a server; without one, a shell")
  .argument("<server>")
  .argument("[command...]")
  .passThroughOptions()
  .action(async (server: string, argv: string[]) => {
    const wanted = argv.length > 0 ? argv : ["bash", "-l"];
    const entered = enterServer(chooseId(), server, wanted, { TERM: process.env["TERM"] ?? "dumb" });
    const child = Bun.spawn([...entered.argv], { stdio: ["inherit", "inherit", "inherit"] });
    process.exitCode = await leaveSignalsTo(child);
    removeIfEmpty(entered.cgroup);
  });

command("operator", "run a command in the operator's network (its ssh knows the servers); without one, a shell")
  .argument("[command...]")
  .passThroughOptions()
  .action(async (argv: string[]) => {
    const id = chooseId();
    await openLab(id);
    const child = Bun.spawn(enterOperator(id, argv.length > 0 ? argv : ["bash"]), {
      stdio: ["inherit", "inherit", "inherit"],
      cwd: operatorOf(id).home,
      env: operatorEnvironment(id),
    });
    process.exitCode = await leaveSignalsTo(child);
  });

for (const [verb, description] of [
  ["cut", "cut a server's public link: it stays up, nothing passes"],
  ["heal", "join the link again"],
  ["kill", "take a server's power away"],
  ["reboot", "restart a server and wait until it is up"],
  ["stop", "shut a server down"],
  ["start", "switch a server on and wait until it is up"],
] as const) {
  command(verb, description)
    .argument("<server>")
    .action(async (server: string) => {
      const lab = await openLab(chooseId());
      const started = performance.now();
      await lab[verb](server);
      say(`${verb} ${server}: done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    });
}

command("impair", "make a server's public link late and lossy; with neither option, make it good again")
  .argument("<server>")
  .option("--delay <ms>", "how late each frame is, each way", Number)
  .option("--loss <percent>", "how many of a hundred frames are lost, each way", Number)
  .action(async (server: string, options: { delay?: number; loss?: number }) => {
    const wanted = { delayMs: options.delay ?? 0, lossPercent: options.loss ?? 0 };
    const good = wanted.delayMs === 0 && wanted.lossPercent === 0;
    await (await openLab(chooseId())).impair(server, good ? null : wanted);
  });

command("add", "add servers to a lab that is up")
  .argument("<servers>", "NAME=RELEASE/ENGINE, comma-separated", parseServers)
  .action(async (servers: ServerRequest[]) => {
    const lab = await openLab(chooseId());
    for (const request of servers) {
      const server = await lab.addServer(request);
      say(`${server.name}: up at ${server.address}`);
    }
  });

command("down", "take a lab down, whatever is left of it")
  .option("--all", "all labs on this machine, also half-made and dead ones")
  .action(async (options: { all?: true }) => {
    const ids = options.all ? findLabIds() : [chosenId() ?? onlyRemains()];
    for (const id of ids) {
      await removeLab(id);
      say(`lab ${id} is down`);
    }
  });

program
  .command("images")
  .description("list the base images in the cache, make them, or remove them")
  .option("--make <list>", "RELEASE/ENGINE, comma-separated: make those that are missing")
  .option("--prune", "remove those of older recipes")
  .option("--remove", "remove all that no server stands on")
  .action(async (options: { make?: string; prune?: true; remove?: true }) => {
    if (options.make !== undefined) {
      await prepareMachine(say);
      const named = options.make.split(",").map((part) => `image=${part}`);
      for (const { release, engine } of parseServers(named.join(","))) await ensureBaseImage(release, engine, say);
    }
    if (options.prune || options.remove) {
      for (const name of removeImages(options.remove ? "all" : "outdated")) say(`removed ${name}`);
    }
    for (const { path, current, inUse } of listImages()) {
      console.log(`${path}${current ? "" : "  (older recipe)"}${inUse ? "  (in use)" : ""}`);
    }
  });

function onlyRemains(): string {
  const ids = findLabIds();
  if (ids.length === 1) return ids[0] as string;
  if (ids.length === 0) throw new ToolError("no lab is up, and nothing is left of one");
  throw new ToolError("several labs are up", `say which: --id ${ids.join(" or --id ")}; or --all`);
}

function printLogin(lab: Lab): void {
  printStatus([statusOf(lab.id)]);
  const name = lab.servers[0]?.name ?? "SERVER";
  console.log(`
a shell on a server:   npm run lab -- exec ${name}
a command on it:       npm run lab -- exec ${name} systemctl status
over ssh:              npm run lab -- operator ssh ${name}       (or -l deploy, with sudo; -l plain, without)
its link:              npm run lab -- cut ${name}; npm run lab -- heal ${name}
everything off:        npm run lab -- down --id ${lab.id}`);
}

/** Ctrl-C is for the program in the foreground; resolves to its exit code. */
async function leaveSignalsTo(child: Bun.Subprocess): Promise<number> {
  const ignore = () => undefined;
  process.on("SIGINT", ignore);
  const code = await child.exited;
  process.off("SIGINT", ignore);
  return code;
}

function say(line: string): void {
  console.error(line);
}

try {
  // Help and mistakes in the command line need no rights and no sudo.
  program.hook("preAction", () => {
    checkSystem();
    becomeRoot();
  });
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof ToolError)) throw error;
  console.error(`error: ${error.message}`);
  if (error.hint !== undefined) console.error(`hint: ${error.hint}`);
  process.exitCode = 1;
}
