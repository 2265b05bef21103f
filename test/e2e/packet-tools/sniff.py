"""sniff.py LOG BRIDGE PREFIX: writes "sender kind source destination" for each IPv4 or ARP packet about PREFIX in the clear.

PREFIX is the first characters of the addresses, e.g. 10.210. ; the bridge is watched whole, so that a cable may be pulled and
put back meanwhile. The sender is its hardware address. Ends when the log is removed (with the lab that it is of).
"""

import os
import socket
import struct
import sys

SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1

log_path, bridge, prefix = sys.argv[1:]
log = open(log_path, "a", buffering=1)
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sock.bind((bridge, 0))
request = struct.pack("IHH8s", socket.if_nametoindex(bridge), PACKET_MR_PROMISC, 0, b"")
sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
log.write("ready\n")
sock.settimeout(2)
while os.path.exists(log_path):
    try:
        frame = sock.recv(4096)
    except TimeoutError:
        continue
    kind = frame[12:14]
    if kind == b"\x08\x00":
        pair = frame[26:30], frame[30:34]
    elif kind == b"\x08\x06":
        pair = frame[28:32], frame[38:42]
    else:
        continue
    source, destination = (socket.inet_ntoa(each) for each in pair)
    if source.startswith(prefix) or destination.startswith(prefix):
        name = "ip" if kind == b"\x08\x00" else "arp"
        log.write(f"{frame[6:12].hex(':')} {name} {source} {destination}\n")
