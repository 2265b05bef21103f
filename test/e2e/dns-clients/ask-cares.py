"""Asks with c-ares: ask-cares.py host|srv|txt|ptr NAME. Prints what it gets, one a line; exit 1 when that is nothing."""

import select
import sys

import pycares

lines = []
failures = []


def take(answer, error):
    if error is not None:
        failures.append(pycares.errno.strerror(error))
    elif sys.argv[1] == "host":
        lines.extend(answer.addresses)
    elif sys.argv[1] == "srv":
        lines.extend(f"{one.port} {one.host}" for one in answer)
    elif sys.argv[1] == "txt":
        lines.extend(one.text if isinstance(one.text, str) else one.text.decode() for one in answer)
    else:
        lines.append(answer.name)


channel = pycares.Channel()
if sys.argv[1] == "host":
    channel.gethostbyname(sys.argv[2], 2, take)
elif sys.argv[1] == "ptr":
    channel.gethostbyaddr(sys.argv[2], take)
else:
    types = {"srv": pycares.QUERY_TYPE_SRV, "txt": pycares.QUERY_TYPE_TXT}
    channel.query(sys.argv[2], types[sys.argv[1]], take)
while not lines and not failures:
    readers, writers = channel.getsock()
    ready = select.select(readers, writers, [], channel.timeout() or 0.1)
    for socket in ready[0]:
        channel.process_fd(socket, pycares.ARES_SOCKET_BAD)
    for socket in ready[1]:
        channel.process_fd(pycares.ARES_SOCKET_BAD, socket)
    if not ready[0] and not ready[1]:
        channel.process_fd(pycares.ARES_SOCKET_BAD, pycares.ARES_SOCKET_BAD)
print("\n".join(lines or failures))
sys.exit(0 if lines else 1)
