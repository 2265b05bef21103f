"""say.py TEXT TARGET...: TARGET is proto:address:port, or spoof:source:address:port for a forged UDP packet.

Prints a line per target: sent, connected, refused, silent, or the error's name. All are tried at the same time, for a second.
"""

import errno
import selectors
import socket
import struct
import sys
import time

text, *targets = sys.argv[1:]


def forged(source, destination, port):
    payload = text.encode()
    udp = struct.pack("!HHHH", 4000, port, 8 + len(payload), 0) + payload
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(destination)
    )
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.sendto(head + udp, (destination, 0))


def verdict(error):
    if error == errno.ECONNREFUSED:
        return "refused"
    return "connected" if error == 0 else errno.errorcode.get(error, str(error))


results = {}
selector = selectors.DefaultSelector()
for target in targets:
    kind, *rest = target.split(":")
    try:
        if kind == "spoof":
            forged(rest[0], rest[1], int(rest[2]))
            results[target] = "sent"
        elif kind == "udp":
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(text.encode(), (rest[0], int(rest[1])))
            results[target] = "sent"
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            error = sock.connect_ex((rest[0], int(rest[1])))
            if error == errno.EINPROGRESS:
                selector.register(sock, selectors.EVENT_WRITE, target)
            else:
                results[target] = verdict(error)
    except OSError as error:
        results[target] = verdict(error.errno)

end = time.monotonic() + 1
while selector.get_map() and time.monotonic() < end:
    for key, _ in selector.select(end - time.monotonic()):
        results[key.data] = verdict(key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        selector.unregister(key.fileobj)
for target in targets:
    print(target, results.get(target, "silent"))
