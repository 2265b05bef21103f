/** With more names touched than this, everything counts as touched. */
const MAX_TOUCHED = 4_096;

/** Names and addresses whose answers may have changed since the last look. */
export class Changes {
  /** below `jiji` */
  readonly labels = new Set<string>();
  /** addresses, counted from the cluster's first */
  readonly addresses = new Set<number>();
  /** whether the servers' own names are among them */
  servers = false;
  /** Too much has changed to list: every name has to be looked at. */
  everything = false;

  get isEmpty(): boolean {
    return !this.servers && !this.everything && this.labels.size === 0 && this.addresses.size === 0;
  }

  all(): void {
    this.everything = true;
    this.labels.clear();
    this.addresses.clear();
  }

  label(label: string): void {
    if (this.everything) return;
    this.labels.add(label);
    if (this.labels.size > MAX_TOUCHED) this.all();
  }

  address(distance: number): void {
    if (this.everything) return;
    this.addresses.add(distance);
    if (this.addresses.size > MAX_TOUCHED) this.all();
  }

  /** Adds the changes of another. */
  merge(from: Changes): void {
    this.servers ||= from.servers;
    if (from.everything) this.all();
    for (const label of from.labels) this.label(label);
    for (const address of from.addresses) this.address(address);
  }
}
