"""What a client says first: it travels with the proof that it holds the token."""

from __future__ import annotations

from nbcluster.commands import Subscribe
from nbcluster.protocol.calls import Calls
from nbcluster.protocol.messages import Call, RegisterClient


class Greeting:
    """Who a client is, and that it wants to see its cluster now and whenever that changes.

    Args:
        id: by which name the scheduler is to know the client.
        interval: seconds between two views, at least.
    """

    def __init__(self, id: str, interval: float) -> None:
        self.calls = Calls()
        """The questions of the link that is to be made: the first of them is here."""
        number, self.view = self.calls.open()
        self.messages = (RegisterClient(id), Call(number, Subscribe(interval=interval)))
