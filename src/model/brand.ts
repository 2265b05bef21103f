declare const brand: unique symbol;

/**
 * A value that only its parser can make. `Brand<string, "DnsLabel">` is a string at run time; the type says that
 * it was checked. Never cast to a brand outside the file that owns its parser.
 */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };
