/** What a datagram socket tells its owner. */
export interface UdpHandlers {
  /** `data` is only valid during the call */
  onData(data: Buffer, port: number, address: string): void;
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

/** Datagrams over IPv4. */
export interface Udp {
  /** Rejects when the address is not there or the port is taken. */
  bind(address: string, port: number, handlers: UdpHandlers): Promise<UdpSocket>;
  /** The same, looked at every `pollMs` instead of whenever a datagram comes: cheaper when many come, and later. */
  bindPolled(address: string, port: number, pollMs: number, handlers: UdpHandlers): Promise<UdpSocket>;
  /** A socket of its own from an own address to one peer: the only kind that hears from the kernel that a port is closed. */
  connect(from: string, to: string, port: number, handlers: UdpHandlers): Promise<ConnectedUdpSocket>;
}
