/**
 * The statements that jiji-dns subscribes to. The agent's relay lets through exactly these texts, so that jiji-dns
 * needs no token and can ask for nothing else.
 */
export const SUBSCRIPTIONS = {
  containers: "SELECT server_id, n, record FROM containers",
  servers: "SELECT id, record, sig FROM servers",
} as const;
