"""say.py TEXT TARGET...: TARGET is proto:address:port, or spoof:source:address:port for a forged UDP packet.

Prints a line per target: sent, connected, refused, or the error's name. Never waits longer than a second for one.
"""

import errno
import socket
import struct
import sys

text, *targets = sys.argv[1:]


def forged(source, destination, port):
    payload = text.encode()
    udp = struct.pack("!HHHH", 4000, port, 8 + len(payload), 0) + payload
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(destination)
    )
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.sendto(head + udp, (destination, 0))


def say(target):
    kind, *rest = target.split(":")
    if kind == "spoof":
        forged(rest[0], rest[1], int(rest[2]))
        return "sent"
    address, port = rest[0], int(rest[1])
    if kind == "udp":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.sendto(text.encode(), (address, port))
        return "sent"
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(1)
    sock.connect((address, port))
    return "connected"


for target in targets:
    try:
        print(target, say(target), flush=True)
    except ConnectionRefusedError:
        print(target, "refused", flush=True)
    except TimeoutError:
        print(target, "silent", flush=True)
    except OSError as error:
        print(target, errno.errorcode.get(error.errno, str(error)), flush=True)
