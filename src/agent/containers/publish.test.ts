import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { EngineContainer } from "../../engine/engine.ts";
import type { Ipv4 } from "../../model/address.ts";
import type { ClusterCidr, SubnetNumber } from "../../model/cluster.ts";
import { encodeContainerRecord, parseContainerRecord } from "../../model/container-record.ts";
import { ABSENT, found } from "../../model/reading.ts";
import { publicationOf, type PublishContext } from "./publish.ts";
import { anyText } from "../../../test/any-text.ts";

const CONTEXT: PublishContext = {
  network: "jiji",
  cluster: "10.210.0.0/16" as ClusterCidr,
  subnet: 3 as SubnetNumber,
};

function container(change: Partial<EngineContainer> = {}): EngineContainer {
  return {
    id: "a".repeat(64),
    name: "web-1",
    labels: { "jiji.project": "shop", "jiji.service": "web" },
    imageId: "sha256:1",
    imageName: "nginx:1.27",
    imageLabels: found({}),
    networks: { jiji: "10.210.3.2" as Ipv4 },
    state: "running",
    health: "none",
    startedAt: "2026-11-23T04:00:00Z",
    ports: [{ port: 80, protocol: "tcp" }],
    stopSignal: "",
    ...change,
  };
}

const publish = (change: Partial<EngineContainer>) => publicationOf(container(change), CONTEXT);

describe("names", () => {
  test("jiji's labels give project, service and instance", () => {
    const { published, problems } = publish({
      labels: { "jiji.project": "Shop", "jiji.service": "web_api", "jiji.instance": "blue.1" },
    });
    expect(published).toMatchObject({ project: "shop", service: "web-api", instance: "blue-1" });
    expect(problems).toEqual([]);
  });

  const compose = {
    "com.docker.compose.project": "shop",
    "com.docker.compose.service": "web",
    "com.docker.compose.container-number": "2",
    "com.docker.compose.config-hash": "c0ffee",
  };

  test("Compose's labels are enough, its container number being the instance", () => {
    expect(publish({ labels: compose }).published).toMatchObject({ project: "shop", service: "web", instance: "2" });
  });

  test("Compose's labels count although Compose put project and service into the image that it built", () => {
    const imageLabels = found({ "com.docker.compose.project": "shop", "com.docker.compose.service": "web" });
    expect(publish({ labels: compose, imageLabels }).published).toMatchObject({ project: "shop", service: "web" });
  });

  test("an image that carries Compose's labels is not published by a plain run", () => {
    const { published } = publish({ labels: compose, imageLabels: found(compose) });
    expect(published).toBeUndefined();
  });

  // security-tests: image-labels
  test("an image's own jiji labels are ignored and reported", () => {
    const labels = { "jiji.project": "shop", "jiji.service": "web" };
    const { published, problems } = publish({ labels, imageLabels: found(labels) });
    expect(published).toBeUndefined();
    expect(problems.join("\n")).toContain("label jiji.project stands in the image itself: ignored");
  });

  test("with the image gone nobody can tell, so nothing is published", () => {
    const { published, problems } = publish({ imageLabels: ABSENT });
    expect(published).toBeUndefined();
    expect(problems[0]).toContain("image is gone");
  });

  test.each([
    ["control characters", "we\nb"],
    ["10 kB", "x".repeat(10_000)],
    ["Unicode", "wéb"],
    ["nothing", ""],
    ["a hyphen in front", "-web"],
    ["SQL", "web'; DROP TABLE containers"],
  ])("a service of %s is not published, and the reason is one", (_, service) => {
    const { published, problems } = publish({ labels: { "jiji.project": "shop", "jiji.service": service } });
    expect(published).toBeUndefined();
    expect(problems).toHaveLength(1);
  });

  test("a name that is too long only together is not published", () => {
    const labels = { "jiji.project": "p".repeat(40), "jiji.service": "s".repeat(40) };
    expect(publish({ labels }).published).toBeUndefined();
    const long = { "jiji.project": "shop", "jiji.service": "web", "jiji.instance": "i".repeat(60) };
    expect(publish({ labels: long }).published).toMatchObject({ service: "web", instance: null });
  });

  test("a container without names is left alone, with a word", () => {
    const { published, problems } = publish({ labels: {} });
    expect(published).toBeUndefined();
    expect(problems).toHaveLength(1);
  });
});

describe("state", () => {
  test.each([
    ["running", "none", "healthy"],
    ["running", "starting", "starting"],
    ["running", "healthy", "healthy"],
    ["running", "unhealthy", "unhealthy"],
    ["created", "none", "stopped"],
    ["restarting", "healthy", "stopped"],
    ["paused", "healthy", "stopped"],
    ["exited", "none", "stopped"],
    ["dead", "none", "stopped"],
    ["stopping", "healthy", "draining"],
    ["unknown", "healthy", "stopped"],
  ] as const)("%s with health %s is %s", (state, health, expected) => {
    expect(publish({ state, health }).published?.state).toBe(expected);
  });
});

test("an address that is not one of this server's containers is not published", () => {
  for (const address of ["10.210.4.2", "10.210.3.1", "10.210.3.255", "192.0.2.1"]) {
    const { published, problems } = publish({ networks: { jiji: address as Ipv4 } });
    expect(published?.address).toBeNull();
    expect(problems).toHaveLength(1);
  }
});

test("whatever an engine says, what is published is a record that can be read back, and small", () => {
  const texts = fc.oneof(anyText(), fc.constantFrom("shop", "web", "x".repeat(10_000)));
  const keys = fc.constantFrom("jiji.project", "jiji.service", "jiji.instance", "com.docker.compose.project");
  fc.assert(
    fc.property(fc.dictionary(keys, texts), texts, texts, (labels, name, imageName) => {
      const { published } = publish({ labels, name, imageName });
      if (published === undefined) return;
      const text = encodeContainerRecord({ ...published, rev: 1 });
      expect(parseContainerRecord(text)).toEqual({ ...published, rev: 1 });
      expect(Buffer.byteLength(JSON.stringify(published.meta))).toBeLessThanOrEqual(2048);
    }),
  );
});
