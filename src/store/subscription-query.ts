import { isKeyword, parseOneStatement, type SqlToken } from "./sql-text.ts";

/** A SELECT that a subscription can follow, as far as its text tells. */
export interface SubscriptionQuery {
  /** the tables of FROM in order, with the text by which the statement calls each */
  readonly sources: readonly QuerySource[];
  /** its text in two parts: hidden columns go between them */
  readonly head: string;
  readonly tail: string;
  /** every name in it, unquoted and in lower case, and `*` */
  readonly names: ReadonlySet<string>;
  /** whether it has a SELECT inside, so that other rows than its own may decide what it gives */
  readonly nested: boolean;
}

export interface QuerySource {
  readonly table: string;
  /** alias or table name, verbatim, so quoted where it was quoted */
  readonly reference: string;
}

type Parsed = { readonly ok: true; readonly query: SubscriptionQuery } | { readonly ok: false; readonly why: string };

const refused = (why: string): { readonly ok: false; readonly why: string } => ({ ok: false, why });

/** What may follow the tables of a FROM clause. */
const AFTER_FROM = ["WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "INTERSECT", "EXCEPT"];

/** What makes rows that are not each one row of the tables, which no primary key identifies. */
const UNSUPPORTED = ["GROUP", "HAVING", "WINDOW", "LIMIT", "UNION", "INTERSECT", "EXCEPT"];

/**
 * Takes one SELECT over tables, joined by comma, INNER or LEFT JOIN, with any WHERE and expressions. Everything else is
 * refused with the reason: WITH, DISTINCT, grouping, LIMIT, compound selects, subqueries in FROM, other joins.
 */
export function parseSubscriptionQuery(sql: string): Parsed {
  const statement = parseOneStatement(sql);
  if (!statement.ok) return statement;
  const { tokens } = statement;
  if (!isKeyword(tokens[0], "SELECT")) return refused("unsupported statement");
  if (isKeyword(tokens[1], "DISTINCT")) return refused("unsupported statement: DISTINCT");
  const first = isKeyword(tokens[1], "ALL") ? tokens[1] : tokens[0];
  const outer = outermost(tokens);
  const unsupported = outer.find((token) => isKeyword(token, ...UNSUPPORTED));
  if (unsupported !== undefined) return refused(`unsupported statement: ${unsupported.text.toUpperCase()}`);
  const from = outer.findIndex((token, index) => isKeyword(token, "FROM") && !isKeyword(outer[index - 1], "DISTINCT"));
  if (from < 0) return refused("at least 1 table is required in FROM / JOIN clause");
  const rest = outer.slice(from + 1);
  const end = rest.findIndex((token) => isKeyword(token, ...AFTER_FROM));
  const sources = parseSources(end < 0 ? rest : rest.slice(0, end));
  if (typeof sources === "string") return refused(sources);
  const cut = first?.end ?? 0;
  const nested = tokens.slice(1).some((token) => isKeyword(token, "SELECT"));
  const last = tokens.at(-1)?.end;
  const names = new Set(tokens.map((token) => unquote(token.text).toLowerCase()));
  return { ok: true, query: { sources, head: sql.slice(0, cut), tail: sql.slice(cut, last), names, nested } };
}

/** The tokens outside all parentheses; an opening one stands for its content. */
function outermost(tokens: readonly SqlToken[]): readonly SqlToken[] {
  let depth = 0;
  return tokens.filter((token) => {
    if (token.kind === "sign" && token.text === ")") depth -= 1;
    const outside = depth === 0;
    if (token.kind === "sign" && token.text === "(") depth += 1;
    return outside && token.text !== ")";
  });
}

function parseSources(tokens: readonly SqlToken[]): readonly QuerySource[] | string {
  const sources: QuerySource[] = [];
  let rest = tokens;
  for (;;) {
    const name = rest[0];
    if (name?.kind !== "word" && name?.kind !== "quoted") return "unsupported statement: FROM needs tables";
    if (rest[1]?.text === "." || rest[1]?.text === "(") return "unsupported statement: FROM needs tables of the schema";
    const hasAs = isKeyword(rest[1], "AS");
    const alias = hasAs ? rest[2] : rest[1];
    const isAlias = alias !== undefined && (alias.kind === "quoted" || alias.kind === "word") && !isJoinWord(alias);
    if (hasAs && !isAlias) return "unsupported statement: AS needs a name";
    sources.push({ table: unquote(name.text), reference: isAlias ? alias.text : name.text });
    rest = rest.slice(1 + (hasAs ? 1 : 0) + (isAlias ? 1 : 0));
    const next = rest.findIndex((token) => token.text === "," || isKeyword(token, "JOIN"));
    const join = next < 0 ? rest : rest.slice(0, next);
    const other = join.find((token) => isKeyword(token, "NATURAL", "RIGHT", "FULL"));
    if (other !== undefined) return `unsupported statement: ${other.text.toUpperCase()} JOIN`;
    if (next < 0) return sources;
    rest = rest.slice(next + 1);
  }
}

function isJoinWord(token: SqlToken): boolean {
  const words = [
    "JOIN",
    "LEFT",
    "INNER",
    "CROSS",
    "OUTER",
    "NATURAL",
    "RIGHT",
    "FULL",
    "ON",
    "USING",
    "INDEXED",
    "NOT",
  ];
  return isKeyword(token, ...words);
}

function unquote(name: string): string {
  const quote = name[0];
  if (quote === "[") return name.slice(1, -1);
  if (quote !== '"' && quote !== "`") return name;
  return name.slice(1, -1).replaceAll(quote + quote, quote);
}
