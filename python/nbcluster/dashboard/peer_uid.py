"""Which user is at the other end of a loopback TCP connection: Linux's tables of sockets tell.

A port on the loopback interface is open to every user of the machine. The kernel lists each socket with its owner in
``/proc/net/tcp`` and ``/proc/net/tcp6``, so the owner of a client's socket can be found by its two addresses. A client
may use an IPv6 socket for an IPv4 address (``::ffff:127.0.0.1``): each table is searched for both spellings.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL, _REMOTE, _UID = 1, 2, 7
"""Columns of the tables."""

End = tuple[str, int]
"""Host and port."""

KNOWN = sys.platform == "linux"
"""True where the system tells who owns a socket."""


def peer_uid(connection: socket.socket) -> int | None:
    """The user id that owns the other end of a connection; None if the kernel does not list it.

    Raises:
        OSError: the tables cannot be read, or the connection is closed.
    """
    local, peer = connection.getsockname(), connection.getpeername()
    return find_uid(_lines(), client=(peer[0], peer[1]), server=(local[0], local[1]))


def find_uid(lines: Iterable[str], client: End, server: End) -> int | None:
    """The owner of the socket that is bound to ``client`` and connected to ``server``, in lines of the tables."""
    wanted = {
        (mine, theirs) for mine in _spellings(*client) for theirs in _spellings(*server) if len(mine) == len(theirs)
    }
    for line in lines:
        columns = line.split()
        if len(columns) > _UID and (columns[_LOCAL], columns[_REMOTE]) in wanted:
            return int(columns[_UID])
    return None


def _lines() -> Iterator[str]:
    for table in _TABLES:
        if table.exists():  # there is none of IPv6 where it is switched off
            yield from table.read_text("ascii").splitlines()


def _spellings(host: str, port: int) -> list[str]:
    """An end as the tables spell it: in hex, each 32-bit word of the address in the machine's byte order."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    forms = [address.packed]
    if isinstance(address, ipaddress.IPv4Address):
        forms.append(bytes(10) + b"\xff\xff" + address.packed)
    return [f"{_words(packed)}:{port:04X}" for packed in forms]


def _words(packed: bytes) -> str:
    words = (packed[i : i + 4] for i in range(0, len(packed), 4))
    if sys.byteorder == "little":
        words = (word[::-1] for word in words)
    return b"".join(words).hex().upper()
