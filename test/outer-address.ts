import { networkInterfaces } from "node:os";

/**
 * An address of this machine that is not loopback's, if it has one, to ask from: what goes from there to loopback never leaves the
 * machine. None of 10.0.0.0/8, where meshes are.
 */
export const OUTER_ADDRESS = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal, address }) => family === "IPv4" && !internal && !address.startsWith("10."))?.address;
