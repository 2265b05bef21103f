declare const brand: unique symbol;

/**
 * A value that only its parser can make. `Brand<string, "DnsLabel">` is a string at run time; the type says that
 * it was checked. Never cast to a brand outside the file that owns its parser. A value may carry several brands
 * (`Cidr & Brand<string, "ClusterCidr">`). That is why the name is a key and not a value: the intersection of two different
 * values would be `never`, which is assignable to everything.
 */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: { readonly [K in Name]: true } };
