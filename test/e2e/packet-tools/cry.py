"""cry.py INTERFACE ADDRESS: sends one frame to everybody on an interface, past every packet filter of this server: an IPv4 packet
from ADDRESS to itself."""

import socket
import struct
import sys

interface, address = sys.argv[1:]
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind((interface, 0))
packed = socket.inet_aton(address)
packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20, 0, 0, 1, 17, 0, packed, packed)
# a bridge that filters drops what has a wrong checksum
words = sum(struct.unpack("!10H", packet))
while words >> 16:
    words = (words & 0xFFFF) + (words >> 16)
packet = packet[:10] + struct.pack("!H", ~words & 0xFFFF) + packet[12:]
sock.send(b"\xff" * 6 + sock.getsockname()[4] + b"\x08\x00" + packet + bytes(26))
