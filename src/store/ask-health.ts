import type { StoreHealth } from "../model/store-figures.ts";
import type { Secret } from "../model/secret.ts";
import { sendRequest } from "./http-request.ts";
import { storeAddress, type StoreUrl } from "./store-url.ts";

const ANSWER_MS = 2000;
const MAX_BYTES = 64 * 1024;

/**
 * What a running store says of its own health (`/v1/health`, since Corrosion v1.0.0). Undefined when it says nothing that
 * can be read, as earlier ones do, or while it has seen no change lately; never rejects. For display only.
 */
export async function askHealth(url: StoreUrl, token: Secret): Promise<StoreHealth | undefined> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const message = { method: "GET", path: "/v1/health", token, signal, headTimeoutMs: ANSWER_MS } as const;
    const answer = await sendRequest(storeAddress(url), message);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of answer.body) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_BYTES) break;
    }
    answer.close();
    return parseHealth(Buffer.concat(chunks).toString("utf8"));
  } catch {
    return undefined;
  }
}

/** `{"response": {"gaps", "members", "p99_lag", …}}`; undefined for anything else. */
export function parseHealth(text: string): StoreHealth | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const response = (json as { response?: unknown } | null)?.response;
  if (typeof response !== "object" || response === null) return undefined;
  const { gaps, members, p99_lag: lag } = response as Record<string, unknown>;
  if (!isCount(gaps) || !isCount(members)) return undefined;
  return { gaps, members, lagSeconds: typeof lag === "number" && Number.isFinite(lag) ? lag : null };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && value >= 0;
}
