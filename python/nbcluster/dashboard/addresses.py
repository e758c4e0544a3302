"""Where a dashboard listens: from what people write to sockets."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from nbcluster.errors import ClusterError

LOOPBACK = "127.0.0.1"
BACKLOG = 128
NEXT_PORTS = 100
"""How many ports are tried after one that is taken."""

DashboardAddress = str | int | Sequence[str | int] | None


@dataclass(frozen=True)
class Endpoint:
    """A host and a port; port 0 means any free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """True if nobody outside this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """As a browser on this machine visits it."""
        host = LOOPBACK if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def parse(address: DashboardAddress) -> list[Endpoint]:
    """Read a ``dashboard_address``.

    ``None`` is no endpoint at all; ``":8787"`` and ``8787`` are on the loopback interface, and so is any address
    without a host; ``""`` and ``":0"`` take any free port; ``"a:1,b:2"`` and a list are several endpoints.

    Raises:
        ValueError, TypeError: it is no such thing; says what is allowed.
    """
    if address is None:
        return []
    if isinstance(address, int) and not isinstance(address, bool):
        return [_endpoint(f":{address}")]
    if isinstance(address, str):
        return [_endpoint(part.strip()) for part in address.split(",")]
    if isinstance(address, (list, tuple)):
        return [endpoint for part in address for endpoint in parse(part)]
    raise TypeError(f"dashboard_address={address!r}: give a text like ':8787', a port, a list of these, or None")


def open_socket(endpoint: Endpoint) -> tuple[socket.socket, Endpoint]:
    """Listen there, or at the next port that is free. Returns the socket and where it really listens.

    Raises:
        ClusterError: it cannot be done, for another reason than that a port is taken.
    """
    last = min(endpoint.port + NEXT_PORTS, 65535)
    ports = [0] if endpoint.port == 0 else [*range(endpoint.port, last + 1), 0]
    for port in ports:
        try:
            listening = socket.create_server(
                (endpoint.host, port),
                family=socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET,
                backlog=BACKLOG,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            raise ClusterError(
                f"the dashboard cannot listen at {endpoint.host}:{port}: {error.strerror or error}; "
                "choose another dashboard_address, or None for no dashboard"
            ) from error
        return listening, Endpoint(endpoint.host, listening.getsockname()[1])
    raise ClusterError(f"the dashboard found no free port at {endpoint.host}")


def _endpoint(text: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        host, port = text, "0"
    elif not colon:
        host, port = ("", text) if text.isdigit() else (text, "0")
    if not (port or "0").isdecimal() or not 0 <= int(port or 0) <= 65535:
        raise ValueError(f"dashboard_address={text!r}: {port!r} is no port; give a number from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host or "/" in host or any(c <= " " for c in host):
        raise ValueError(f"dashboard_address={text!r} is no address; give a text like ':8787' or 'localhost:8787'")
    return Endpoint(LOOPBACK if host in ("", "localhost") else host, int(port or 0))
