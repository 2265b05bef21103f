"""scan.py ADDRESS [UDP-PORT...]: prints "tcp PORT" for each TCP port of all that accepts a connection, and "udp PORT" for each of the
UDP ports that are named and answer anything. What neither accepts nor refuses within a second is closed."""

import selectors
import socket
import sys
import time

address, *udp_ports = sys.argv[1:]
AT_ONCE = 500


def batch(ports):
    selector = selectors.DefaultSelector()
    for port in ports:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.connect_ex((address, port))
        selector.register(sock, selectors.EVENT_WRITE, port)
    end = time.monotonic() + 1
    while selector.get_map() and time.monotonic() < end:
        for key, _ in selector.select(max(0, end - time.monotonic())):
            if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                print("tcp", key.data)
            selector.unregister(key.fileobj)
            key.fileobj.close()
    for key in list(selector.get_map().values()):
        key.fileobj.close()


for first in range(1, 65536, AT_ONCE):
    batch(range(first, min(first + AT_ONCE, 65536)))
for port in udp_ports:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(1)
    sock.connect((address, int(port)))
    try:
        # a question for the root's name servers: what speaks DNS answers, what does not may say that it does not
        sock.send(bytes.fromhex("abcd01000001000000000000") + bytes.fromhex("0000020001"))
        sock.recv(2048)
        print("udp", port)
    except OSError:
        pass
