import { describe, expect, test } from "bun:test";
import type { Ipv4 } from "../model/address.ts";
import { renderDnsSocket, renderDnsUnit } from "./dns-units.ts";

/** Values of a key, in order. */
function valuesOf(unit: string, key: string): readonly string[] {
  return unit
    .split("\n")
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));
}

describe("jiji-dns", () => {
  // dns-contract: socket-unit
  test("its socket holds port 53, UDP and TCP, whether the address is there yet or not", () => {
    const socket = renderDnsSocket("10.210.0.1" as Ipv4);
    expect(valuesOf(socket, "ListenDatagram")).toEqual(["10.210.0.1:53"]);
    expect(valuesOf(socket, "ListenStream")).toEqual(["10.210.0.1:53"]);
    expect(valuesOf(socket, "FreeBind")).toEqual(["yes"]);
    expect(valuesOf(socket, "WantedBy")).toEqual(["sockets.target"]);
    expect(valuesOf(socket, "TriggerLimitIntervalSec")).toEqual(["0"]);
  });

  // dns-contract: boot-order
  test("it starts in any order at boot: it needs no other unit, and waits for its socket and the network's set-up only", () => {
    const unit = renderDnsUnit();
    for (const key of ["Requires", "Requisite", "BindsTo", "PartOf", "ConditionPathExists"]) {
      expect({ key, values: valuesOf(unit, key) }).toEqual({ key, values: [] });
    }
    expect(valuesOf(unit, "After")).toEqual(["network.target jiji-dns.socket"]);
    expect(valuesOf(unit, "Sockets")).toEqual(["jiji-dns.socket"]);
    expect(valuesOf(unit, "Restart")).toEqual(["always"]);
    expect(valuesOf(unit, "StartLimitIntervalSec")).toEqual(["0"]);
  });

  // dns-contract: unprivileged
  test("it runs as a user of its own, without any capability and without a way to one", () => {
    const unit = renderDnsUnit();
    expect(valuesOf(unit, "User")).toEqual(["jiji-dns"]);
    expect(valuesOf(unit, "Group")).toEqual(["jiji-dns"]);
    expect(valuesOf(unit, "CapabilityBoundingSet")).toEqual([""]);
    expect(valuesOf(unit, "AmbientCapabilities").filter((value) => value !== "")).toEqual([]);
    expect(valuesOf(unit, "NoNewPrivileges")).toEqual(["yes"]);
  });
});
