"""What every transport offers: one authenticated, ordered, two-way link between two parties.

Rules
1. A link exists only after the handshake: its role is known and nothing was decoded before.
2. ``send`` never blocks and never fails half-way: messages are batched and written at the end of the loop's
   turn.
3. Messages arrive in the order in which they were sent, in batches: one call per read, not one per message.
4. ``lost`` is called exactly once, after the last batch; ``None`` means that the peer closed in good order.
5. Everything happens on the event loop that the link was made on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from nbcluster.comm.lending import Lending
from nbcluster.protocol.buffers import Allocate
from nbcluster.protocol.payload import SharedMemory
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Role


class Receiver(Protocol):
    """Who takes what a link delivers."""

    def received(self, messages: list[Any]) -> None:
        """Messages that arrived together, in order; already decoded and of the link's incoming type."""

    def lost(self, error: Exception | None) -> None:
        """The link is gone, by itself (None) or by this error. Never called twice."""


class Connection(ABC):
    """One end of a link."""

    role: Role
    """What the connecting party is: the role that the handshake fixed."""
    local_address: Address
    peer_address: Address
    in_process: bool = False
    """True if both ends live in this process: payloads may then be live objects."""

    lends: bool = False
    """True if threads can read and write it themselves, as far as it is free for it: see ``lend_reading``."""

    same_host: bool = False
    """True if the other end is known to be on this host: then it sees the cluster's shared memory."""

    def share(self, memory: SharedMemory) -> None:  # noqa: B027
        """From now on the other end may name what is in this memory; if it is on the ``same_host``, so do we."""

    def read_into(self, allocate: Allocate) -> None:  # noqa: B027
        """From now on have large buffers read to memory that this makes; called on the loop as each one begins."""

    @abstractmethod
    def start(self, receiver: Receiver) -> None:
        """Begin to deliver. What arrived before waits until then."""

    @abstractmethod
    def send(self, *messages: Message) -> None:
        """Queue messages; they leave together at the end of this loop turn.

        Raises:
            CommClosedError: the link is closed.
        """

    def send_now(self, *messages: Message) -> None:
        """The same for who has gathered all that there is to say: they need not wait for the end of the turn.

        Not to be called by a ``Receiver`` while it is being told something.
        """
        self.send(*messages)

    def allow_threads(self) -> bool:
        """Prepare for ``send_at_once``. On the loop. Returns False if only the loop can send on this link."""
        return False

    def send_at_once(self, message: Message, first: Callable[[], None], keep_gil: bool = False) -> bool:
        """Send a message from any thread, without waking the loop, if it is small and nothing else is on its way out.

        Args:
            message: what to send.
            first: called before it is sent, if it will be.
            keep_gil: the thread computes on, and is not to lose Python's interpreter lock to another meanwhile.

        Returns:
            Whether it was sent; if not, the caller has the loop ``send`` it.
        """
        return False

    def lend_reading(self) -> Lending | None:
        """Read no more, but let threads do so. On the loop. None if only the loop can read this link, or just now."""
        return None

    @property
    def lent(self) -> bool:
        """True while threads may read it, and the loop does not."""
        return False

    def take_back_reading(self) -> bool:
        """Read again on the loop, and deliver what threads have left. False if one of them is reading just now."""
        return True

    @property
    @abstractmethod
    def pending_bytes(self) -> int:
        """Bytes that the other side has not taken yet."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until little is pending."""

    @abstractmethod
    async def close(self) -> None:
        """Flush, close and wait until closed. Idempotent."""

    @abstractmethod
    def abort(self) -> None:
        """Close at once; what is pending is lost. Idempotent."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """True from the moment at which ``send`` would fail."""


class Listener(ABC):
    """Something that accepts links."""

    address: Address
    """Where it really listens: with the port filled in."""

    @abstractmethod
    async def close(self) -> None:
        """Stop accepting; links that exist stay. Idempotent."""


OnConnection = Callable[[Connection], Awaitable[None] | None]
"""Called for each authenticated link; must call ``start`` on it."""
