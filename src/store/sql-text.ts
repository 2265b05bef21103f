import { messageOf } from "../model/errors.ts";

/**
 * The words of a SQL text, cut as SQLite's tokenizer cuts them. It serves only to tell one statement from several, a
 * reading one from others, and where a SELECT's parts begin; what a statement means is left to SQLite.
 */
export interface SqlToken {
  readonly kind: "word" | "quoted" | "string" | "parameter" | "sign";
  /** as it stands, quotes included */
  readonly text: string;
  /** offsets into the text */
  readonly start: number;
  readonly end: number;
}

/**
 * White space and comments; a word, keyword or number; "…", `…` or […]; '…'; ?1, :a, @a or $a; any other sign. A quote
 * or comment that does not end runs to the end of the text, as in SQLite, which then refuses it.
 */
const TOKEN =
  /(?<space>[ \t\n\f\r]+|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|(?<word>[A-Za-z_0-9\u0080-\u{10ffff}][A-Za-z_0-9$\u0080-\u{10ffff}]*)|(?<quoted>"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[^\]]*(?:\]|$))|(?<string>'(?:[^']|'')*(?:'|$))|(?<parameter>\?[0-9]*|[:@$][A-Za-z_0-9\u0080-\u{10ffff}:$]+)|(?<sign>[\s\S])/uy;

/** All tokens of a text but white space and comments. */
export function tokenizeSql(sql: string): readonly SqlToken[] {
  const tokens: SqlToken[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(sql); match !== null && match[0] !== ""; match = TOKEN.exec(sql)) {
    const kind = (["word", "quoted", "string", "parameter", "sign"] as const).find(
      (name) => match?.groups?.[name] !== undefined,
    );
    if (kind !== undefined) {
      tokens.push({ kind, text: match[0], start: match.index, end: match.index + match[0].length });
    }
  }
  return tokens;
}

/** SQL that cannot be taken. `early` when it was refused before anything ran, so with a status of 400. */
export class SqlRefused extends Error {
  readonly early: boolean;

  constructor(why: string, early = true) {
    super(why);
    this.name = "SqlRefused";
    this.early = early;
  }
}

/** What SQLite has thrown, as a refusal; a refusal as it is. */
export function refusedBy(error: unknown, early = true): SqlRefused {
  return error instanceof SqlRefused ? error : new SqlRefused(messageOf(error), early);
}

/**
 * The tokens of a text's one statement, without its semicolon. SQLite's own prepare() would silently leave out what
 * follows the first semicolon or a NUL. Throws {@link SqlRefused} for no statement, or several.
 */
export function parseOneStatement(sql: string, early = true): readonly SqlToken[] {
  if (sql.includes("\0")) throw new SqlRefused("unrecognized token: a NUL character", early);
  const tokens = tokenizeSql(sql);
  const end = tokens.findIndex((token) => token.kind === "sign" && token.text === ";");
  const first = end < 0 ? tokens : tokens.slice(0, end);
  if (first.length === 0) throw new SqlRefused("at least 1 statement is required", early);
  if (end >= 0 && tokens.slice(end).some((token) => token.text !== ";")) {
    throw new SqlRefused("Multiple statements provided", early);
  }
  return first;
}

/** Whether a token is the keyword, in any case; quoted names never are. */
export function isKeyword(token: SqlToken | undefined, ...keywords: readonly string[]): boolean {
  return token?.kind === "word" && keywords.includes(token.text.toUpperCase());
}
