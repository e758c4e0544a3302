"""Semaphores and locks."""

from __future__ import annotations

import logging
import uuid
import warnings
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from nbcluster.arguments import check_flag, check_whole
from nbcluster.client.coordinating import value_of
from nbcluster.client.coordination.link import Request
from nbcluster.client.coordination.names import Name
from nbcluster.client.coordination.shared import SharedObject, check_timeout
from nbcluster.protocol.coordination import (
    AcquireLease,
    CloseSemaphore,
    CountLeases,
    LeaseGranted,
    ReleaseLease,
    Replied,
)

if TYPE_CHECKING:
    from nbcluster.client.client import Client

logger = logging.getLogger("nbcluster.client")

Self = TypeVar("Self", bound="Leasing")


class Leasing(SharedObject):
    """Takes leases of a semaphore on the scheduler, and remembers which."""

    _expires: bool

    def __init__(self, max_leases: int, name: Name | None, client: Client | None) -> None:
        super().__init__(name, client)
        self._most = max_leases
        self._leases: deque[tuple[Client, int]] = deque()
        """What was acquired through this object, and through which client: that one has to release it."""
        self._closed = False
        self.id = uuid.uuid4().hex

    def _acquire(self, timeout: Any) -> Any:
        client = self.client
        return self._acquire_by(client, client._request, timeout)

    def _acquire_by(self, client: Client, ask: Callable[..., Any], timeout: Any) -> Any:
        if self._closed:
            raise RuntimeError(f"{self!r} was closed; make a new one")
        wait, seconds = check_timeout(timeout)

        def make(number: int) -> AcquireLease:
            return AcquireLease(number, self._text, self._most, wait, self._expires)

        def then(answer: Any, request: Request) -> bool:
            if type(answer) is not LeaseGranted:
                return False
            self._leases.append((client, answer.request))
            return True

        return ask(make, then, seconds)

    def release(self) -> Any:
        """Give back what was acquired first.

        Returns:
            True; False if it had been lost, because it was not renewed in time or its semaphore was closed.

        Raises:
            RuntimeError: nothing is acquired through this object.
        """
        client, lease = self._take_oldest()
        return client._request(lambda number: ReleaseLease(number, lease), self._released)

    def _take_oldest(self) -> tuple[Client, int]:
        if not self._leases:
            raise RuntimeError(f"Released too often: {self!r} is not acquired through this object")
        client, lease = self._leases.popleft()
        client._session.coordination.let_go(lease)
        return client, lease

    def _released(self, answer: Replied, request: Request) -> bool:
        if not answer.value:
            logger.warning("%r was released, but it had been lost before", self)
        return bool(answer.value)

    def __enter__(self: Self) -> Self:
        _refuse_with(self.client)
        self._acquire(None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._leases:  # else it was closed meanwhile, or released by hand
            self.release()

    async def __aenter__(self: Self) -> Self:
        client = self.client
        await self._acquire_by(client, client._request_here, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._leases:
            client, lease = self._take_oldest()
            await client._request_here(lambda number: ReleaseLease(number, lease), self._released)

    def __del__(self) -> None:
        for client, lease in getattr(self, "_leases", ()):  # nobody else can release them
            client._session.coordination.give_back(lease)


class Semaphore(Leasing):
    """At most so many at a time, in all processes together.

    A lease is given back when it is released, when this object is gone, or when its client is, be it because a worker
    died. One whose client does not show a sign of life for 30 seconds may go to somebody who waits for it.

    Args:
        max_leases: how many leases there are; the same for all who use the name.
        name: by default a new one.
        scheduler_rpc: not there; give ``client``.
        loop: not there; a client has its own.
        client: the client to use; by default the current one.

    Example:
        >>> database = Semaphore(2, "database")
        >>> def query(number, database):
        ...     with database:
        ...         return number * number
        >>> client.gather(client.map(query, range(4), database=database))
        [0, 1, 4, 9]
    """

    _kind = "semaphore"
    _expires = True

    def __init__(
        self,
        max_leases: int = 1,
        name: Name | None = None,
        scheduler_rpc: None = None,
        loop: None = None,
        *,
        client: Client | None = None,
    ) -> None:
        max_leases = check_whole("max_leases", max_leases, least=1)
        _refuse_others(scheduler_rpc, loop)
        super().__init__(max_leases, name, client)
        self.max_leases = max_leases

    def register(self) -> Any:
        """There is nothing to do: a semaphore is known from its first use on."""
        return self._made() if self.client.asynchronous else None

    def acquire(self, timeout: float | str | None = None) -> Any:
        """Take a lease, once there is one.

        Args:
            timeout: seconds to wait (or ``"500 ms"``); None waits for ever, 0 not at all.

        Returns:
            Whether there is a lease now.

        Raises:
            ValueError: others use this name with another number of leases.
            RuntimeError: it was closed.
        """
        return self._acquire(timeout)

    def get_value(self) -> Any:
        """How many leases are taken."""
        return self._ask(lambda number: CountLeases(number, self._text), value_of)

    def close(self) -> Any:
        """Forget it: leases are void, and whoever waits for one gets a ``RuntimeError``."""
        self._closed = True

        def then(answer: Replied, request: Request) -> None:
            for client, lease in self._leases:
                client._session.coordination.let_go(lease)
            self._leases.clear()
            if answer.value:
                warnings.warn(
                    f"Closing semaphore {self.name} but there remain unreleased leases: {answer.value}",
                    RuntimeWarning,
                    stacklevel=4,
                )

        return self._ask(lambda number: CloseSemaphore(number, self._text), then)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.max_leases, self.name)


class Lock(Leasing):
    """One at a time, in all processes together.

    It is free again when it is released, when the object that acquired it is gone, or when the client of that one is,
    be it because a worker died. It never expires under who holds it.

    Args:
        name: by default a new one. The same name is the same lock.
        scheduler_rpc: not there; give ``client``.
        loop: not there; a client has its own.
        client: the client to use; by default the current one.

    Example:
        >>> def append(line, path):
        ...     with Lock(path):
        ...         with open(path, "a") as file:
        ...             file.write(line)
        >>> lock = Lock("x")
        >>> lock.acquire(timeout=1)
        True
        >>> lock.release()
        True
    """

    _kind = "lock"
    _expires = False

    def __init__(
        self,
        name: Name | None = None,
        scheduler_rpc: None = None,
        loop: None = None,
        *,
        client: Client | None = None,
    ) -> None:
        _refuse_others(scheduler_rpc, loop)
        super().__init__(1, name, client)

    def acquire(self, blocking: bool = True, timeout: float | str | None = None) -> Any:
        """Take the lock, once it is free.

        Args:
            blocking: False: do not wait.
            timeout: seconds to wait (or ``"500 ms"``); None waits for ever.

        Returns:
            Whether it is taken now.

        Raises:
            ValueError: a timeout for a call that does not wait.
        """
        return self._acquire(blocking_timeout(blocking, timeout))

    def locked(self) -> Any:
        """Whether anybody has it."""
        return self._ask(lambda number: CountLeases(number, self._text), lambda answer, request: answer.value > 0)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name,)


def blocking_timeout(blocking: bool, timeout: Any) -> Any:
    """The timeout of a call that may be told not to wait."""
    if check_flag("blocking", blocking):
        return timeout
    if timeout is not None:
        raise ValueError(f"can't specify a timeout for a non-blocking call: timeout={timeout!r} with blocking=False")
    return 0


def _refuse_others(scheduler_rpc: object, loop: object) -> None:
    for name, value in (("scheduler_rpc", scheduler_rpc), ("loop", loop)):
        if value is not None:
            raise TypeError(f"{name}={value!r} is not there; give the client to use: client=")


def _refuse_with(client: Client) -> None:
    if client.asynchronous:
        raise TypeError("its client is asynchronous; use 'async with', not 'with'")
