import type { DesiredServer, DesiredState } from "../../desired/desired-state.ts";
import { serverAddress } from "../../model/cluster.ts";
import type { ServerId } from "../../model/keys.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import type { NodeClient } from "../servers/node-client.ts";
import type { ServerPlan } from "../rollout/plan-text.ts";

/** A server of this run with what is to happen on it. */
export interface PlannedServer {
  /** as in the file */
  readonly name: string;
  readonly client: NodeClient;
  readonly spec: NodeSpec;
  readonly selected: boolean;
  readonly isNew: boolean;
  readonly nat: boolean;
  /** its id, when it is a member already */
  readonly member: ServerId | undefined;
  readonly plan: ServerPlan;
  readonly notes: readonly string[];
}

/** Asks every server which steps it would take; changes nothing. */
export async function planServers(
  state: DesiredState,
  clients: ReadonlyMap<string, NodeClient>,
  restartEngine: boolean,
): Promise<PlannedServer[]> {
  const members = state.mesh.members.map(({ signed }) => signed);
  const newcomers = [...state.servers.values()].filter(({ seat }) => seat.isNew);
  const expected = newcomers.map(({ seat }) => ({ name: seat.name, subnet: seat.subnet }));
  const planned = await Promise.all(
    [...state.servers].map(async ([name, server]): Promise<PlannedServer> => {
      const client = clients.get(name);
      if (client === undefined) throw new Error(`no connection to ${name}`);
      const { steps, notes } = await client.plan({
        goal: {
          phase: "join",
          spec: server.spec,
          members,
          expected: expected.filter(({ subnet }) => subnet !== server.seat.subnet),
        },
        restartEngine,
      });
      return {
        name,
        client,
        spec: server.spec,
        selected: server.selected,
        isNew: server.seat.isNew,
        nat: server.spec.nat,
        member: state.mesh.members.find(({ member }) => member.subnet === server.seat.subnet)?.member.id,
        plan: { name, address: addressOf(server), role: roleOf(server), steps },
        notes: notes.map((note) => `${name}: ${note}`),
      };
    }),
  );
  return planned.toSorted((a, b) => a.spec.subnet - b.spec.subnet);
}

function addressOf({ spec }: DesiredServer): string {
  return serverAddress(spec.cluster.cidr, spec.subnet);
}

function roleOf({ seat, selected }: DesiredServer): string {
  const number = `number ${seat.subnet}`;
  if (seat.isNew) return `new, ${number}; its keys are made on the server`;
  return selected ? `member, ${number}` : `member, ${number}; only told of the others`;
}
