"""What tests of ``Worker``, ``Nanny`` and ``Scheduler`` have in common."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

PATIENCE = 150
LOOPBACK = "127.0.0.1"


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def quiet(api: Any) -> dict[str, Any]:
    """Keywords of a scheduler that listens on loopback only, and shows nothing."""
    if api.__name__ == "nbcluster":
        return {"dashboard_address": None}
    return {"dashboard": False, "dashboard_address": f"{LOOPBACK}:0", "host": LOOPBACK}


def quiet_cluster(api: Any) -> dict[str, Any]:
    """The same for a cluster."""
    if api.__name__ == "nbcluster":
        return {"dashboard_address": None}
    return {"dashboard_address": f"{LOOPBACK}:0", "scheduler_kwargs": {"dashboard": False}}


def loopback_interface() -> str:
    """What the machine calls its loopback interface."""
    interfaces = psutil.net_if_addrs().items()
    return next(name for name, addresses in interfaces if any(one.address == LOOPBACK for one in addresses))


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


class Busy:
    """A port that is taken for as long as the block lasts."""

    def __enter__(self) -> int:
        self._socket = socket.socket()
        self._socket.bind((LOOPBACK, 0))
        self._socket.listen()
        return int(self._socket.getsockname()[1])

    def __exit__(self, *exc: object) -> None:
        self._socket.close()


def free_port() -> int:
    """A port that nobody listens at, of those that no system gives to whoever asks for any."""
    while True:
        port = random.randint(20_000, 30_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind((LOOPBACK, port))
            return port
