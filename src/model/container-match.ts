import { SERVICE_DOMAIN } from "./names.ts";

/** What a container can be found by. */
export interface ContainerHandles {
  /** 64 lower-case hex digits */
  readonly id: string;
  /** the engine's name for it; null where it is not known */
  readonly name: string | null;
  readonly address: string | null;
  readonly project: string | null;
  readonly service: string | null;
  readonly instance: string | null;
}

/**
 * How well a text fits a container: whole id, name or address (0), DNS name of its instance (1) or of its service (2),
 * instance alone (3), beginning of its id (4); undefined when it does not fit. The smallest number wins, so a name is
 * preferred to an id that happens to begin with the same letters.
 */
export function matchRank(text: string, container: ContainerHandles): number | undefined {
  const { id, name, address, project, service, instance } = container;
  if (text === "") return undefined;
  if (text === id || text === name || text === address) return 0;
  const label = labelOf(text);
  if (project !== null && service !== null) {
    const base = `${project}-${service}`;
    if (instance !== null && label === `${base}-${instance}`) return 1;
    if (label === base) return 2;
  }
  if (instance !== null && text === instance) return 3;
  return /^[0-9a-f]+$/.test(text) && id.startsWith(text) ? 4 : undefined;
}

/** `shop-api`, `Shop-API.jiji` and `shop-api.jiji.` are one name. */
function labelOf(text: string): string {
  const name = text.toLowerCase().replace(/\.$/, "");
  return name.endsWith(`.${SERVICE_DOMAIN}`) ? name.slice(0, -SERVICE_DOMAIN.length - 1) : name;
}
