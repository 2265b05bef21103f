/** What a site is told to do. */
export type SiteCommand =
  | { readonly type: "load" }
  | { readonly type: "count" }
  | { readonly type: "change"; readonly n: number; readonly k: number; readonly number: number };

/** What a site says that it did. */
export type SiteEvent =
  | { readonly type: "ready" }
  | { readonly type: "loaded" }
  | { readonly type: "counted"; readonly rows: number }
  | { readonly type: "written"; readonly number: number; readonly isHealthy: boolean; readonly atMs: number };
