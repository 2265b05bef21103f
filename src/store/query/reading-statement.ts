import { isKeyword, type SqlToken } from "../sql-text.ts";

/** PRAGMAs that only look, and so cannot change a connection that others use after this statement. */
const LOOKING_PRAGMAS = new Set(
  (
    "table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list database_list page_count " +
    "page_size freelist_count data_version compile_options function_list pragma_list collation_list encoding " +
    "integrity_check quick_check"
  ).split(" "),
);

/** What an EXPLAIN explains; any other statement as it is. */
function explained(tokens: readonly SqlToken[]): readonly SqlToken[] {
  if (!isKeyword(tokens[0], "EXPLAIN")) return tokens;
  return tokens.slice(isKeyword(tokens[1], "QUERY") ? 3 : 1);
}

/** Whether it is a PRAGMA, or the EXPLAIN of one: either may act while it is prepared, so ask before that. */
export function isPragma(tokens: readonly SqlToken[]): boolean {
  return isKeyword(explained(tokens)[0], "PRAGMA");
}

/**
 * Whether a statement begins as one that only looks: SELECT, VALUES, WITH, a PRAGMA that only looks, or the EXPLAIN of
 * anything but another PRAGMA. What a WITH comes to is left to SQLite's own word (`readonly`).
 */
export function isLooking(tokens: readonly SqlToken[]): boolean {
  const rest = explained(tokens);
  if (!isKeyword(rest[0], "PRAGMA")) return rest !== tokens || isKeyword(rest[0], "SELECT", "VALUES", "WITH");
  return LOOKING_PRAGMAS.has(rest[1]?.text.toLowerCase() ?? "");
}
