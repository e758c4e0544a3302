"""Addresses as text, and what they mean. Nothing here is lenient: a wrong address is named, not repaired.

tcp://127.0.0.1:8786     tls://[::1]:8786     unix:///run/user/1000/nbcluster/3f2a/s.sock     inproc://71-1
"""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from nbcluster.types import Address

_PORT = re.compile(r"[0-9]{1,5}")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class TcpAddress(NamedTuple):
    """A host and a port; ``encrypted`` makes it ``tls://``. Port 0, in a listener's address, means any free one."""

    host: str
    port: int
    encrypted: bool = False

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can connect there."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.encrypted else 'tcp'}://{host}:{self.port}"


class UnixAddress(NamedTuple):
    """A socket file."""

    path: Path

    def __str__(self) -> str:
        return f"unix://{self.path}"


class InprocAddress(NamedTuple):
    """A listener in this process; an empty name, in a listener's address, means any free one."""

    name: str

    def __str__(self) -> str:
        return f"inproc://{self.name}"


AnyAddress = TcpAddress | UnixAddress | InprocAddress


def parse(address: Address) -> AnyAddress:
    """Read an address; one without a scheme is ``tcp://``.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(address, str):
        raise TypeError(f"an address is text like 'tcp://127.0.0.1:8786', not {address!r}")
    return _parse(address)


@lru_cache(maxsize=64)
def _parse(address: Address) -> AnyAddress:
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "tcp", address
    if scheme in ("tcp", "tls"):
        host, port = _split_host(address, rest)
        return TcpAddress(host, port, encrypted=scheme == "tls")
    if scheme == "unix":
        if not rest.startswith("/") or "\0" in rest:
            raise ValueError(f"{address!r} is no address: 'unix://' is followed by an absolute path")
        return UnixAddress(Path(rest))
    if scheme == "inproc":
        if rest and not _NAME.fullmatch(rest):
            raise ValueError(f"{address!r} is no address: {rest!r} is no name of a listener")
        return InprocAddress(rest)
    raise ValueError(f"{address!r} is no address: {scheme!r} is none of tcp, tls, unix and inproc")


def machine_address() -> str:
    """The address by which other machines most probably reach this one; loopback if it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # nothing is sent: it only asks for the way
        except OSError:
            return "127.0.0.1"
        return str(sock.getsockname()[0])


def _split_host(address: str, rest: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        valid = bool(bracket) and _IPV6.fullmatch(host) is not None and ":" in host
        colon, port = tail[:1], tail[1:]
    else:
        host, colon, port = rest.partition(":")
        valid = _HOST.fullmatch(host) is not None
    if not valid:
        raise ValueError(f"{address!r} is no address: {host!r} is no host name")
    if colon != ":" or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"{address!r} is no address: the host is followed by ':' and a port from 0 to 65535")
    return host, int(port)
