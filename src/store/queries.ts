/**
 * The statements that jiji-dns subscribes to. The agent's relay lets through exactly these texts, so that jiji-dns
 * needs no token and can ask for nothing else.
 *
 * A container's row whose record is empty is a place for the next container. The bounds on length keep a row of another server's making, however large, from breaking everybody's stream: such a
 * row could not be read as a record anyway. They count bytes, since `length()` of a text ends at its first NUL.
 */
export const SUBSCRIPTIONS = {
  containers:
    "SELECT server_id, n, record FROM containers WHERE record <> '' AND octet_length(server_id) <= 64 AND octet_length(record) <= 49152",
  servers:
    "SELECT id, record, sig FROM servers WHERE octet_length(id) <= 64 AND octet_length(record) <= 12288 AND octet_length(sig) <= 200",
} as const;
