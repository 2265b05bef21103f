declare const brand: unique symbol;

/**
 * A value that only its parser can make. `Brand<string, "DnsLabel">` is a string at run time; the type says that
 * it was checked. Never cast to a brand outside the file that owns its parser. A value
 * may carry several brands (`Cidr & Brand<string, "ClusterCidr">`), so a name is a key and not the value: two different
 * values would make the intersection `never`, which fits everywhere and checks nothing.
 */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: { readonly [K in Name]: true } };
