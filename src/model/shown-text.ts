/**
 * Characters that are invisible, or change how a terminal shows the text around them: C0 and C1 controls,
 * directional marks and overrides, zero-width and line-separating characters, tags.
 */
const HIDDEN =
  /[\u0000-\u001F\u007F-\u009F\u00AD\u061C\u180E\u200B-\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB]|[\u{E0000}-\u{E007F}]|\p{Cs}/gu;

/**
 * Text of another machine as it may be shown on a terminal: one line, every control and bidirectional character written
 * as an escape such as `\u001b`. Text without such characters stays as it is.
 */
export function showText(text: string): string {
  return text.replaceAll(HIDDEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (character === "\n") return "\\n";
    if (character === "\t") return "\\t";
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/**
 * Text of several lines, each made safe by {@link showText}. Every line but the first is indented, so that none looks like
 * a line of jiji's own.
 */
export function showLines(text: string): string {
  return text.split(/\r?\n/).map(showText).join("\n    ");
}

/** A parsed JSON value with {@link showText} applied to every string in it, keys included. */
export function showJson(value: unknown): unknown {
  if (typeof value === "string") return showText(value);
  if (Array.isArray(value)) return value.map(showJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [showText(key), showJson(inner)]));
}

/**
 * JSON that is safe to show on a terminal and keeps its meaning: every such character becomes JSON's own escape. Only for
 * text made by `JSON.stringify`, where such characters occur in strings alone.
 */
export function showJsonText(json: string): string {
  return json.replaceAll(HIDDEN, (character) =>
    character
      .split("")
      .map((unit) => (unit === "\n" ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`))
      .join(""),
  );
}
