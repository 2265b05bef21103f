import type { Command } from "commander";
import type { AddCommands } from "../cli/program.ts";
import { startDnsService, type DnsServeOptions } from "./dns-service.ts";
import { untilStopped } from "./stop-signals.ts";

type Run = Parameters<AddCommands>[1];

/** `jiji dns …`: the DNS server, as jiji-dns.service runs it or by hand. */
export function addDnsCommands(program: Command, run: Run): void {
  const dns = program.command("dns").description("the DNS server of the mesh");
  dns
    .command("serve")
    .description("answer .jiji from the store and forward the rest, until SIGTERM; SIGHUP reads the settings again")
    .option("--settings <file>", "all of the following from a file, /opt/jiji/dns/settings.json on a server")
    .option("--listen <ip:port...>", "where to listen, UDP and TCP; port 0 takes a free one")
    .option("--store <url>", "http://HOST:PORT, or unix:PATH for the agent's relay")
    .option("--token-file <file>", "the store's bearer token, alone in a file")
    .option("--agent-socket <path>", "the agent's socket; without it members come from the store")
    .option("--self <id>", "this server's id")
    .option("--cidr <network>", "the cluster's network", "10.210.0.0/16")
    .option("--ttl <seconds>", "of addresses in answers", Number, 60)
    .option("--local-first", "this server's own containers come first")
    .option("--upstream <ip:port...>", "resolvers for other names; default: the system's")
    .option("--state <file>", "where the last table is kept")
    .option("--metrics <ip:port>", "where metrics are served over HTTP")
    .option("--control <path>", "a socket for status and names")
    .action((options: DnsServeOptions) => {
      run(async () => untilStopped(await startDnsService(options)));
    });
}
