import { PATHS } from "../model/paths.ts";

const HEAD = "# Written by jiji; the next setup replaces it.\n";

/** /etc/sysusers.d/jiji.conf, sysusers.d(5): one user per service, and the group that may use the agent's sockets. */
export function renderSysusers(): string {
  return `${HEAD}u jiji-corrosion - "jiji records" - -\nu jiji-dns - "jiji names" - -\ng jiji - - - -\n`;
}

/** /etc/tmpfiles.d/jiji.conf, tmpfiles.d(5). */
export function renderTmpfiles(): string {
  return `${HEAD}d ${PATHS.run} 0755 root root -\n`;
}
