"""How a process reaches the depot: what a link has to do, and the one to a depot in this very process.

The other one, through a socket, is ``comm.descriptors``.
"""

from __future__ import annotations

from typing import Protocol

from nbcluster.errors import CommClosedError
from nbcluster.protocol.sharing import BlobId, DepotReply, DepotRequest, Published, Release, SegmentId
from nbcluster.store.depot import Depot


class DepotLink(Protocol):
    """How to reach the depot. May be used from any thread."""

    @property
    def connections(self) -> int:
        """How many there have been. What was given over an earlier one is not known on the present one."""

    def call(self, request: DepotRequest, fd: int | None = None) -> tuple[DepotReply, int | None]:
        """Ask; both descriptors are, afterwards, the receiver's.

        An answer may lack its descriptor: this process has too many open.

        Raises:
            CommError: the depot is gone.
        """

    def release(self, blob: BlobId, untold: bool) -> None:
        """Tell that a blob is not held any more, as soon as that is possible without waiting; see ``Release``."""

    def done(self, numbers: list[SegmentId]) -> None:
        """Tell that nothing more comes into these segments, in the same way."""

    def flush(self) -> None:
        """Tell what could not be told before. Never waits."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""


class LocalDepotLink:
    """To a depot in this very process.

    Args:
        depot: the depot.
        direct: what is shared reaches the scheduler as the very frame that holds it, not as a message about it.
    """

    def __init__(self, depot: Depot, *, direct: bool = True) -> None:
        self._depot = depot
        self._direct = direct
        self._holder = depot.join()
        self.connections = 1

    def call(self, request: DepotRequest, fd: int | None = None) -> tuple[DepotReply, int | None]:
        """Ask."""
        try:
            reply, sent = self._depot.answer(self._holder, request, fd)
        except ValueError as error:
            raise CommClosedError(f"this process's shared memory is out of reach: {error}") from error
        if self._direct and isinstance(reply, Published):
            self._depot.arrived(reply.blob)
        assert reply is not None
        return reply, sent

    def release(self, blob: BlobId, untold: bool) -> None:
        """Tell."""
        self._depot.answer(self._holder, Release([blob], [blob] if untold else []), None)

    def done(self, numbers: list[SegmentId]) -> None:
        """Tell."""
        self._depot.answer(self._holder, Release([], [], numbers), None)

    def flush(self) -> None:
        """All has been told."""

    def adopt(self, blob: BlobId) -> bool:
        """Hold a blob that a message told of."""
        return self._depot.adopt(self._holder, blob)

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self._depot.leave(self._holder)
        self._depot.forget(self._holder)


_depots: dict[str, Depot] = {}


def announce(name: str, depot: Depot) -> None:
    """The depot that others reach by this name is in this process."""
    _depots[name] = depot


def withdraw(name: str) -> None:
    """It no longer is. Idempotent."""
    _depots.pop(name, None)


def link_within(name: str, *, direct: bool) -> LocalDepotLink | None:
    """A link to the depot of this name if that is in this process; ``direct`` as for the link."""
    depot = _depots.get(name)
    return None if depot is None else LocalDepotLink(depot, direct=direct)
