"""listen.py LOG ADDRESS PORT...: writes a line "proto port source text" to LOG for whatever arrives, UDP and TCP."""

import selectors
import socket
import sys

log_path, address, *ports = sys.argv[1:]
log = open(log_path, "a", buffering=1)
selector = selectors.DefaultSelector()


def listen(kind, port):
    sock = socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM:
        sock.listen(64)
    selector.register(sock, selectors.EVENT_READ, port)


for text in ports:
    listen(socket.SOCK_DGRAM, int(text))
    listen(socket.SOCK_STREAM, int(text))
log.write("ready\n")
while True:
    for key, _ in selector.select():
        if key.fileobj.type == socket.SOCK_DGRAM:
            data, peer = key.fileobj.recvfrom(2048)
            log.write(f"udp {key.data} {peer[0]} {data.decode(errors='replace')}\n")
            key.fileobj.sendto(b"heard", peer)
        else:
            conn, peer = key.fileobj.accept()
            log.write(f"tcp {key.data} {peer[0]} connected\n")
            conn.close()
