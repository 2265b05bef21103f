import { Option, type Command } from "commander";
import type { CliContext } from "../cli/context.ts";
import type { AddCommands } from "../cli/program.ts";
import { PATHS } from "../model/paths.ts";
import { startDnsService, type DnsServeOptions } from "./dns-service.ts";
import { dnsTrace, type DnsTraceOptions } from "./dns-trace.ts";
import { untilStopped } from "./stop-signals.ts";

/** `jiji dns`: the DNS server of a mesh, or one run by hand, and why it answers what it answers. */
export const addDnsCommands: AddCommands = (program, run, context) => {
  const dns = program.command("dns").description("the server that answers the names of services");
  const settings = new Option("--settings <file>", "instead of all of the following; jiji network setup writes it");
  const serve = dns
    .command("serve")
    .description("answer questions until SIGTERM; jiji-dns.service does this")
    .addOption(settings)
    .option("--listen <ip:port...>", "where to listen, UDP and TCP; port 0 takes a free one")
    .option("--store <url>", "the store: http://IP:PORT, or unix:/path of the agent's relay")
    .option("--token-file <file>", "the store's bearer token, alone in a file")
    .option("--agent-socket <path>", "the agent's socket; without it every server counts as reachable")
    .option("--self <id>", "this server's id, for --local-first")
    .option("--cidr <network>", "the cluster's network", "10.210.0.0/16")
    .option("--ttl <seconds>", "of addresses in answers", "60")
    .option("--local-first", "this server's own containers come first in an answer")
    .option("--upstream <ip:port...>", "resolvers for all other names; default: the system's own")
    .option("--state <file>", "where the last table is kept")
    .option("--metrics <ip:port>", "where metrics are served over HTTP")
    .option("--control-socket <path>", "where names and state can be asked")
    .action((options: DnsServeOptions) => {
      run(async () => untilStopped(await startDnsService(options)));
    });
  // Otherwise the file would silently win over the options.
  settings.conflicts(serve.options.filter((option) => option !== settings).map((option) => option.attributeName()));
  addTrace(dns, run, context);
};

function addTrace(dns: Command, run: Parameters<AddCommands>[1], context: CliContext): void {
  dns
    .command("trace")
    .description("why a name has the answer it has: rows, what was left out and why, and the answer; run on a server")
    .argument("<name>", "a name (.jiji may be left out), or an address of the cluster for its name")
    .option("--control-socket <path>", "the running server's control socket", PATHS.dnsControlSocket)
    .option("--store <url>", "look into this store instead: http://IP:PORT, or unix:/path of the agent's relay")
    .option("--token-file <file>", "with --store: the bearer token, alone in a file")
    .option("--agent-socket <path>", "with --store: who is reachable; without it every server is")
    .option("--self <id>", "with --store: this server's id")
    .option("--cidr <network>", "with --store: the cluster's network", "10.210.0.0/16")
    .option("--ttl <seconds>", "with --store: of addresses in answers", "60")
    .option("--json", "print JSON")
    .action((name: string, options: DnsTraceOptions) => {
      run(() => dnsTrace(context, name, options));
    });
}
