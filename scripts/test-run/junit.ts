/** One test as it ended. */
export interface TestResult {
  readonly name: string;
  readonly status: "passed" | "failed" | "skipped";
  readonly durationMs: number;
  /** why it failed or was skipped, for people */
  readonly why?: string;
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal?: string, hex?: string, name?: string) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    return entities[name ?? ""] ?? whole;
  });
}

/** Reads the JUnit XML that `bun test --reporter=junit` writes: one result per test case, in the order of the file. */
export function parseJunit(xml: string): TestResult[] {
  const results: TestResult[] = [];
  for (const [, attributeText = "", body = ""] of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const attributes = parseAttributes(attributeText);
    // Bun writes the innermost suite first.
    const suites = (attributes["classname"] ?? "").split(" > ").toReversed();
    const name = [attributes["file"], ...suites, attributes["name"]].filter(Boolean).join(" › ");
    const durationMs = Number(attributes["time"] ?? 0) * 1000;
    const failure = /<(?:failure|error)\b([^>]*)/.exec(body);
    const skipped = /<skipped\b([^>]*)/.exec(body);
    if (failure !== null) {
      results.push({ name, status: "failed", durationMs, why: parseAttributes(failure[1] ?? "")["message"] ?? "" });
    } else if (skipped !== null) {
      results.push({ name, status: "skipped", durationMs, why: parseAttributes(skipped[1] ?? "")["message"] ?? "" });
    } else {
      results.push({ name, status: "passed", durationMs });
    }
  }
  return results;
}

function parseAttributes(text: string): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const [, name = "", value = ""] of text.matchAll(/([\w:-]+)="([^"]*)"/g)) attributes[name] = unescapeXml(value);
  return attributes;
}
