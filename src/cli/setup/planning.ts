import type { DesiredServer, DesiredState } from "../../desired/desired-state.ts";
import { serverAddress } from "../../model/cluster.ts";
import type { ServerId } from "../../model/keys.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import type { PlannedServer } from "../rollout/work.ts";
import type { NodeClient } from "../servers/node-client.ts";

/** A server of a setup with what is to happen on it. */
export interface SetupServer extends PlannedServer {
  readonly spec: NodeSpec;
  readonly selected: boolean;
  /** its id, when it is a member already */
  readonly member: ServerId | undefined;
}

/** Asks every server which steps it would take; changes nothing. In order of number. */
export async function planServers(
  state: DesiredState,
  clientOf: (name: string) => NodeClient,
  restartEngine: boolean,
): Promise<SetupServer[]> {
  const members = state.mesh.members.map(({ signed }) => signed);
  const newcomers = [...state.servers.values()].filter(({ seat }) => seat.isNew);
  const expected = newcomers.map(({ seat }) => ({ name: seat.name, subnet: seat.subnet }));
  const planned = await Promise.all(
    [...state.servers].map(async ([name, server]): Promise<SetupServer> => {
      const { spec, seat, selected } = server;
      const client = clientOf(name);
      const others = expected.filter(({ subnet }) => subnet !== seat.subnet);
      const goal = { phase: "join", spec, members, expected: others } as const;
      const { steps, notes } = await client.plan({ goal, restartEngine });
      const member = state.mesh.members.find((known) => known.member.subnet === seat.subnet)?.member.id;
      const address = serverAddress(spec.cluster.cidr, spec.subnet);
      return { name, client, spec, selected, member, address, role: roleOf(server), steps, notes };
    }),
  );
  return planned.toSorted((a, b) => a.spec.subnet - b.spec.subnet);
}

function roleOf({ seat, selected }: DesiredServer): string {
  const number = `number ${seat.subnet}`;
  if (seat.isNew) return `new, ${number}; its keys are made on the server`;
  return selected ? `member, ${number}` : `member, ${number}; only told of the others`;
}
