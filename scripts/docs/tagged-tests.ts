/** A test, or a group of them, that says what it holds, in a comment above it: `// dns-contract: tc, tcp-whole`. */
export interface TaggedTest {
  readonly document: "dns-contract" | "security-tests";
  /** of the document's rows */
  readonly ids: readonly string[];
  readonly file: string;
  readonly title: string;
}

/**
 * The tagged tests of a file's source, in its order. Throws where a tag does not stand above a test that runs: above a
 * `test.skip`, say.
 */
export function findTaggedTests(file: string, source: string): TaggedTest[] {
  return [...source.matchAll(/^[ \t]*\/\/ (dns-contract|security-tests): ([a-z0-9, -]+)\n/gm)].map((match) => {
    const title = readTitle(source, match.index + match[0].length);
    if (title === undefined) throw new Error(`${file}: no test that runs follows ${match[0].trim()}`);
    return {
      document: match[1] as TaggedTest["document"],
      ids: (match[2] ?? "").split(",").map((id) => id.trim()),
      file,
      title,
    };
  });
}

/** The title of `test("…"`, `describe("…"`, `test.if(x)("…"` or `test.each(table)("…"` at this place, after comments. */
function readTitle(source: string, start: number): string | undefined {
  const [head] = /^(?:\s+|\/\/.*\n)*(?:test|describe)\b/.exec(source.slice(start)) ?? [];
  if (head === undefined) return undefined;
  let at = start + head.length;
  for (;;) {
    const [word, name] = /^\.(serial|concurrent|(?:each|if|skipIf)\()/.exec(source.slice(at)) ?? [];
    if (word === undefined) break;
    at += word.length;
    if (name?.endsWith("(")) at = endOfArguments(source, at);
  }
  const [, text] = /^\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)/.exec(source.slice(at)) ?? [];
  return text?.slice(1, -1).replaceAll(/\\(.)/g, "$1");
}

/** The place after the parenthesis that closes the one before `start`; brackets in strings and comments do not count. */
function endOfArguments(source: string, start: number): number {
  let depth = 1;
  const tokens = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/\/.*|[()]/g;
  tokens.lastIndex = start;
  for (let token = tokens.exec(source); token !== null; token = tokens.exec(source)) {
    if (token[0] === "(") depth += 1;
    if (token[0] === ")") depth -= 1;
    if (depth === 0) return tokens.lastIndex;
  }
  return source.length;
}
