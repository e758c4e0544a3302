"""Several locks at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nbcluster.arguments import check_several, check_whole
from nbcluster.client import defaults
from nbcluster.client.coordinating import nothing_of
from nbcluster.client.coordination.link import Request
from nbcluster.client.coordination.locks import blocking_timeout
from nbcluster.client.coordination.names import Name, check_name, text_of
from nbcluster.client.coordination.shared import check_timeout
from nbcluster.protocol.coordination import AcquireLocks, ReleaseLocks, Replied

if TYPE_CHECKING:
    from nbcluster.client.client import Client


class MultiLock:
    """Several locks, taken all at once or not at all: nobody waits for another in a circle.

    They are other locks than those of ``Lock``. They are free again when they are released, when this object is gone,
    or when its client is.

    Args:
        names: of the locks. The same name is the same lock.
        client: the client to use; by default the current one.

    Example:
        >>> with MultiLock(["left", "right"]):
        ...     print("nobody else has either")
        nobody else has either
    """

    def __init__(self, names: Iterable[Name] | None = None, client: Client | None = None) -> None:
        self.names: list[Name] = [] if names is None else check_several("names", names, "names")
        for name in self.names:
            check_name("names", name)
        self._texts = list(dict.fromkeys(map(text_of, self.names)))
        if client is not None:
            defaults.check_client("client", client)
        self._client = client
        self.id = uuid.uuid4().hex
        self._held: tuple[Client, int] | None = None
        """Which request got the locks, and through which client: that one has to release them."""

    @property
    def client(self) -> Client:
        """The client that it is used through."""
        return self._client or defaults.default_client()

    def acquire(self, blocking: bool = True, timeout: float | str | None = None, num_locks: int | None = None) -> Any:
        """Take the locks, once they are free.

        Args:
            blocking: False: do not wait.
            timeout: seconds to wait (or ``"500 ms"``); None waits for ever.
            num_locks: how many of them are enough; None is all.

        Returns:
            Whether they are taken now.

        Raises:
            ValueError: there are no names, or not so many; or a timeout for a call that does not wait.
            RuntimeError: this object has them already.
        """
        client = self.client
        return self._acquire_by(client, client._request, blocking_timeout(blocking, timeout), num_locks)

    def _acquire_by(self, client: Client, ask: Callable[..., Any], timeout: Any, num_locks: int | None) -> Any:
        count = len(self._texts)
        enough = count if num_locks is None else check_whole("num_locks", num_locks)
        if not count:
            raise ValueError("names=[]: there is no lock to acquire; give at least one name")
        if not 1 <= enough <= count:
            raise ValueError(f"num_locks={num_locks!r} is out of range; there are {count} names")
        if self._held is not None:
            raise RuntimeError(f"{self!r} is acquired already; release() it first, or use another object")
        wait, seconds = check_timeout(timeout)

        def then(answer: Replied, request: Request) -> bool:
            if answer.value:
                self._held = client, answer.request
            return bool(answer.value)

        return ask(lambda number: AcquireLocks(number, self._texts, enough, wait), then, seconds)

    def release(self) -> Any:
        """Give the locks back.

        Raises:
            ValueError: they are not acquired through this object.
        """
        client, held = self._let_go()
        return client._request(lambda number: ReleaseLocks(number, held), nothing_of)

    def _let_go(self) -> tuple[Client, int]:
        if self._held is None:
            raise ValueError(f"Lock is not yet acquired: {self!r}")
        held, self._held = self._held, None
        return held

    def locked(self) -> bool:
        """Whether this object has the locks."""
        return self._held is not None

    def __enter__(self) -> MultiLock:
        if self.client.asynchronous:
            raise TypeError("its client is asynchronous; use 'async with', not 'with'")
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()

    async def __aenter__(self) -> MultiLock:
        client = self.client
        await self._acquire_by(client, client._request_here, None, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        client, held = self._let_go()
        await client._request_here(lambda number: ReleaseLocks(number, held), nothing_of)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.names,)

    def __repr__(self) -> str:
        return f"<MultiLock: {', '.join(map(str, self.names))}>"

    def __del__(self) -> None:
        held = getattr(self, "_held", None)
        if held is not None:  # nobody else can release them
            client, number = held
            client._session.coordination.give_back(number)
