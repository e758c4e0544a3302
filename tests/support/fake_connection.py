"""A link without another side: what is sent is kept; tests say what is received."""

from __future__ import annotations

from typing import Any, TypeVar

from nbcluster.comm.base import Connection, Receiver
from nbcluster.errors import CommClosedError
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Role

M = TypeVar("M")


class FakeConnection(Connection):
    """Looks like a client's link to its scheduler."""

    role = Role.CLIENT
    peer_address: Address = "fake://scheduler"
    local_address: Address = "fake://client"
    in_process = False

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.receiver: Receiver
        self._closed = False

    def start(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def send(self, *messages: Message) -> None:
        if self._closed:
            raise CommClosedError("the link is closed")
        self.sent += messages

    @property
    def pending_bytes(self) -> int:
        return 0

    async def drain(self) -> None:
        """There is nothing to wait for."""

    async def close(self) -> None:
        self._closed = True

    def abort(self) -> None:
        self._closed = True

    @property
    def closed(self) -> bool:
        return self._closed

    # --- what tests do ---

    def hear(self, *messages: Message) -> None:
        """The other side says something."""
        self.receiver.received(list(messages))

    def lose(self, error: Exception | None = None) -> None:
        """The link breaks."""
        self._closed = True
        self.receiver.lost(error)

    def said(self, kind: type[M]) -> list[M]:
        """What was sent, of one kind."""
        return [message for message in self.sent if isinstance(message, kind)]
