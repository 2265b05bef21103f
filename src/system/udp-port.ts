/** What a datagram socket tells its owner. */
export interface UdpHandlers {
  /** `data` is only valid during the call; `waitedMs` is how long it lay in the kernel, as far as that is known */
  onData(data: Buffer, port: number, address: string, waitedMs: number): void;
  /** the kernel reported an error; on a connected socket ECONNREFUSED is the peer's word */
  onError(error: Error): void;
}

export interface UdpSocket {
  /** Sends one datagram; what the kernel does not take at once is lost, as datagrams may be. Never throws. */
  send(data: Buffer, port: number, address: string): void;
  close(): void;
}

export interface ConnectedUdpSocket {
  send(data: Buffer): void;
  close(): void;
}

/** Which datagrams can wait: those whose octet at `typeAt` is below `urgentFrom`, and those that have none. */
export interface BatchRule {
  readonly pollMs: number;
  readonly typeAt: number;
  readonly urgentFrom: number;
}

/** Datagrams over IPv4. */
export interface Udp {
  /** Rejects when the address is not there or the port is taken. */
  bind(address: string, port: number, handlers: UdpHandlers): Promise<UdpSocket>;
  /** The same, but datagrams that can wait are looked at only from time to time: cheaper when many come. */
  bindBatched(address: string, port: number, rule: BatchRule, handlers: UdpHandlers): Promise<UdpSocket>;
  /** A socket to one peer: only such a one hears from the kernel that the port is closed. */
  connect(from: string, to: string, port: number, handlers: UdpHandlers): Promise<ConnectedUdpSocket>;
}
