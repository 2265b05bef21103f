import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Ipv4 } from "./address.ts";
import {
  CONTAINER_STATES,
  encodeContainerRecord,
  parseContainerRecord,
  type ContainerRecord,
} from "./container-record.ts";
import type { DnsLabel } from "./names.ts";

const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$/).map((text) => text as DnsLabel);

const records: fc.Arbitrary<ContainerRecord> = fc.record({
  containerId: fc.stringMatching(/^[0-9a-f]{64}$/),
  project: label,
  service: label,
  instance: fc.option(label),
  address: fc.option(fc.ipV4().map((text) => text as Ipv4)),
  state: fc.constantFrom(...CONTAINER_STATES),
  ports: fc.array(
    fc.record({ port: fc.integer({ min: 1, max: 65535 }), protocol: fc.constantFrom("tcp" as const, "udp" as const) }),
    { maxLength: 4 },
  ),
  meta: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string(), { maxKeys: 4 }),
  rev: fc.nat(),
});

test("a record reads back as it was written, and equal records are equal texts", () => {
  fc.assert(
    fc.property(records, (record) => {
      const text = encodeContainerRecord(record);
      const back = parseContainerRecord(text);
      expect(back).toEqual({ ...record, meta: { ...record.meta } });
      expect(encodeContainerRecord(back as ContainerRecord)).toBe(text);
    }),
  );
});

test("half-filled, empty and hostile texts are not there", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => expect(parseContainerRecord(text)).toBeUndefined()),
  );
  const whole = JSON.parse(
    encodeContainerRecord({
      containerId: "a".repeat(64),
      project: "p" as DnsLabel,
      service: "s" as DnsLabel,
      instance: null,
      address: null,
      state: "healthy",
      ports: [],
      meta: {},
      rev: 1,
    }),
  ) as Record<string, unknown>;
  for (const key of ["containerId", "project", "service", "instance", "address", "state", "rev"]) {
    const { [key]: _, ...half } = whole;
    expect(parseContainerRecord(JSON.stringify(half))).toBeUndefined();
  }
  expect(parseContainerRecord(JSON.stringify({ ...whole, service: "Bad.Name" }))).toBeUndefined();
  expect(parseContainerRecord(JSON.stringify({ ...whole, address: "1.2.3" }))).toBeUndefined();
});
