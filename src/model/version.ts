import packageJson from "../../package.json" with { type: "json" };

/** The release of this program, as it stands in package.json; part of the compiled executable. */
export const VERSION: string = packageJson.version;
