"""What a worker needs and may not know: how a client is made."""

from __future__ import annotations

from typing import Any, Protocol

from nbcluster.protocol.tls import TlsIdentity
from nbcluster.types import Address, Key


class ClientFactory(Protocol):
    """Makes the client that the tasks of a worker use."""

    def open(self, scheduler: Address, token: bytes, name: str, timeout: float, tls: TlsIdentity | None = None) -> Any:
        """A client of this scheduler; waits until it is connected. Called in the thread of a task."""

    def actor(self, cls: type, address: Address, key: Key, instance: Any) -> Any:
        """What stands for an object that lives on the worker at this address."""

    async def close(self, client: Any) -> None:
        """Close it. Called on the worker's event loop."""
