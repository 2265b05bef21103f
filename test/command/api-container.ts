import type { EngineSide } from "../../src/model/node/inspect.ts";

export const API_ID = `abc123${"0".repeat(58)}`;

/** A container as its engine knows it. */
export const apiContainer: EngineSide = {
  rank: 0,
  id: API_ID,
  name: "api-1",
  image: "nginx:1.27",
  state: "running",
  health: "healthy",
  address: "10.210.1.2",
  isOnNetwork: true,
  published: {
    project: "shop",
    service: "api",
    instance: "one",
    address: "10.210.1.2",
    state: "healthy",
    ports: ["80/tcp"],
    name: "api-1",
    image: "nginx:1.27",
  },
  hasCheck: false,
  problems: [],
};
