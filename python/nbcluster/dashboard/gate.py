"""Who may see the dashboard: decided for every request, before any handler.

- Through the Unix socket: whoever could open it, for it lies in a directory that only its owner may enter. This is how
  the Jupyter server comes in, which has authenticated its own visitor.
- Through a loopback port: this user only. And the page must have been asked for by a loopback name, or a web page
  anywhere could reach it by a name of its own that resolves to 127.0.0.1.
- Through any other interface, if somebody asked for that: by an address or by one of the machine's names.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from nbcluster.dashboard.peer_uid import KNOWN, peer_uid

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain"})


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    reason: str


class Gate:
    """Lets requests in or not.

    Args:
        hosts: names, besides those of the loopback interface, by which the dashboard may be visited.
        find_uid: finds the user behind a connection; None where the system does not tell.
        uid: the one user that may come in through a loopback port; by default this process's.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        find_uid: Callable[[socket.socket], int | None] | None = peer_uid if KNOWN else None,
        uid: int | None = None,
    ) -> None:
        self._hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}
        self._find_uid = find_uid
        self._uid = os.getuid() if uid is None and hasattr(os, "getuid") else uid

    def refusal(self, connection: socket.socket, host: str) -> Refusal | None:
        """Why this request may not be answered; None if it may. ``host`` is its Host header."""
        if connection.family == getattr(socket, "AF_UNIX", None):
            return None
        local = _address(connection.getsockname()[0])
        if not self._may_be_called(host, local.is_loopback):
            return Refusal(403, "This dashboard is visited by the name localhost or by its address")
        if local.is_loopback and self._find_uid is not None and self._find_uid(connection) != self._uid:
            return Refusal(403, "This dashboard belongs to another user of this machine")
        return None

    def _may_be_called(self, host: str, loopback: bool) -> bool:
        name = host_name(host)
        if name in self._hosts:
            return True
        try:
            address = _address(name)
        except ValueError:
            return False
        return address.is_loopback or not loopback


def host_name(host: str) -> str:
    """The name in a Host header, without the port: ``host_name("[::1]:8787")`` is ``"::1"``; ``""`` if malformed."""
    if any(mark in host for mark in "/?#@\\") or any(c <= " " for c in host):
        return ""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # checks it
    except ValueError:
        return ""
    return (parts.hostname or "").lower().rstrip(".")


def same_origin(origin: str, host: str, scheme: str) -> bool:
    """True if a page of this origin asked the very server that the Host header names."""
    parts = urlsplit(origin)
    return parts.scheme == scheme and parts.netloc.lower() == host.lower() != ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
