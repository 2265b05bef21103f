import { isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node } from "yaml";
import { messageOf } from "../model/errors.ts";
import type { ConfigProblem, Position } from "./problem.ts";

export type Path = readonly PropertyKey[];

/** A parsed YAML text: its plain value, and the position of each part. */
export interface YamlDocument {
  /** maps, lists and scalars; aliases and merge keys resolved */
  readonly value: unknown;
  /** Where the value at the path begins; for a path that does not exist, where its nearest parent begins. */
  positionOf(path: Path): Position;
  /** Where the last key of the path begins; falls back to {@link positionOf}. */
  keyPositionOf(path: Path): Position;
}

/** Reads one YAML 1.2 document. All syntax errors and warnings are returned together; then there is no document. */
export function parseYaml(
  text: string,
): { readonly ok: true; readonly document: YamlDocument } | { readonly ok: false; readonly problems: ConfigProblem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true, stringKeys: true });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const problems = [...document.errors, ...document.warnings].map((error): ConfigProblem => {
    return { at: position(error.pos[0]), message: syntaxMessage(error.code, error.message) };
  });
  if (problems.length > 0) return { ok: false, problems };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const message = `not valid YAML: ${messageOf(error)}`;
    return { ok: false, problems: [{ at: { line: 1, column: 1 }, message }] };
  }
  return {
    ok: true,
    document: {
      value,
      positionOf: (path) => position(startOf(document, path, "value")),
      keyPositionOf: (path) => position(startOf(document, path, "key")),
    },
  };
}

function syntaxMessage(code: string, message: string): string {
  if (code === "DUPLICATE_KEY") return "this key stands twice in the same map";
  const [first = message] = message.split("\n");
  return `not valid YAML: ${first.charAt(0).toLowerCase()}${first.slice(1)}`;
}

function startOf(document: Document, path: Path, what: "key" | "value"): number {
  let node: unknown = document.contents;
  let start = nodeStart(node) ?? 0;
  for (const [index, step] of path.entries()) {
    const wantKey = what === "key" && index === path.length - 1;
    const found = stepInto(document, node, step);
    if (found === undefined) return start;
    start = (wantKey ? nodeStart(found.key) : undefined) ?? nodeStart(found.value) ?? nodeStart(found.key) ?? start;
    node = found.value;
  }
  return start;
}

function stepInto(
  document: Document,
  parent: unknown,
  step: PropertyKey,
): { key?: unknown; value: unknown } | undefined {
  const node = isNode(parent) ? resolve(document, parent) : parent;
  if (isSeq(node)) return typeof step === "number" && step in node.items ? { value: node.items[step] } : undefined;
  if (!isMap(node)) return undefined;
  const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step));
  return pair === undefined ? undefined : { key: pair.key, value: pair.value };
}

function resolve(document: Document, node: Node): unknown {
  return "resolve" in node && typeof node.resolve === "function" ? node.resolve(document) : node;
}

function nodeStart(node: unknown): number | undefined {
  return isNode(node) && node.range ? node.range[0] : undefined;
}
