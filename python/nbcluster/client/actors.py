"""Actors: objects that live on a worker, and keep their state there. Their methods are called from anywhere.

    client.submit(Counter, actor=True).result()  ──▶  Actor: stands for the object
    counter.increment()                          ──▶  ActorFuture: stands for what the call returns

Calls go straight to the worker, in the order in which one caller makes them.
"""

from __future__ import annotations

import abc
import asyncio
import concurrent.futures
import functools
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from nbcluster.arguments import check_flag
from nbcluster.client import defaults
from nbcluster.client.states import FINISHED, PENDING
from nbcluster.deadlines import within
from nbcluster.errors import ActorLostError, CommError, TimeoutError
from nbcluster.protocol import serialize
from nbcluster.protocol.actors import ActorAnswered, CallActor, ReadActor
from nbcluster.protocol.exceptions import load_exception
from nbcluster.types import Address, Key
from nbcluster.units import parse_seconds

if TYPE_CHECKING:
    from nbcluster.client.client import Client
    from nbcluster.client.future import Future

T_co = TypeVar("T_co", covariant=True)


def _find_nowhere(key: Key, address: Address) -> Any:
    """Outside of workers there is no actor to call directly."""
    return None


_find_here: Callable[[Key, Address], Any] = _find_nowhere


def set_finder(find: Callable[[Key, Address], Any]) -> None:
    """Say how an actor is found that may be called directly, by the thread that runs all actors of its worker."""
    global _find_here
    _find_here = find


class BaseActorFuture(abc.ABC, Awaitable[T_co]):
    """What a call of an actor's method will return."""

    __slots__ = ()

    @abc.abstractmethod
    def result(self, timeout: float | str | None = None) -> Any:
        """Wait for what the method returns, or raise what it raises."""

    @abc.abstractmethod
    def done(self) -> bool:
        """True if the call has ended."""

    def __repr__(self) -> str:
        return "<ActorFuture>"


class EagerActorFuture(BaseActorFuture[Any]):
    """A call that one actor made of another on the same worker: it has been carried out at once."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def result(self, timeout: float | str | None = None) -> Any:
        """What the method returned."""
        return self._value

    def done(self) -> bool:
        """It is."""
        return True

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        return self._value


class ActorFuture(BaseActorFuture[Any]):
    """A call of an actor's method that is under way.

    Example:
        >>> from collections import deque
        >>> actor = client.submit(deque, [1, 2, 3], actor=True).result()
        >>> call = actor.popleft()
        >>> call.result(timeout=10)
        1
    """

    __slots__ = ("_actor", "_answer", "_client")

    def __init__(self, actor: Actor, client: Client, answer: concurrent.futures.Future[ActorAnswered]) -> None:
        self._actor = actor
        self._client = client
        self._answer = answer

    def result(self, timeout: float | str | None = None) -> Any:
        """Wait for what the method returns, or raise what it raises. With an asynchronous client: await it.

        Args:
            timeout: seconds to wait; None waits for ever.

        Raises:
            TimeoutError: the call has not ended yet.
            ActorLostError: the actor is gone.
        """
        seconds = None if timeout is None else parse_seconds(timeout, "timeout")
        if self._client.asynchronous:
            return within(self._wait(), seconds)
        if not self._answer.done():
            latch = threading.Lock()
            latch.acquire()
            self._answer.add_done_callback(lambda _: latch.release())
            if not self._client._at_latch(latch, seconds):
                raise TimeoutError(f"a call of {self._actor!r} had not ended after {seconds:g} s")
        return self._value()

    def done(self) -> bool:
        """True if the call has ended."""
        return self._answer.done()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        await self._client._await_here(_ended(self._answer))
        return self._value()

    def _value(self) -> Any:
        try:
            answer = self._answer.result()
        except CommError as error:
            raise self._actor._lost(str(error)) from error
        if answer.result is not None:
            return serialize.load(answer.result, "result")
        if answer.error is not None:
            raise load_exception(answer.error)
        raise self._actor._lost("it is not there any more")


async def _ended(answer: concurrent.futures.Future[ActorAnswered]) -> None:
    await asyncio.wait([asyncio.wrap_future(answer)])


class Actor:
    """Stands for an object on a worker: its methods return ``ActorFuture``, its attributes are read there.

    Attributes are awaited if the client is asynchronous. Methods may be given ``separate_thread=`` as with the peer: it
    changes nothing, for those of a worker's actors run one after the other, in a thread that is theirs.

    The object lives as long as anybody holds the future that it came from, or an ``Actor``; it dies with its worker,
    for nothing can recompute what it has become.

    Example:
        >>> class Counter:
        ...     n = 0
        ...     def increment(self):
        ...         self.n += 1
        ...         return self.n
        >>> counter = client.submit(Counter, actor=True).result()
        >>> counter.increment().result()
        1
        >>> counter.n
        1
    """

    _future: Future | None = None
    _instance: Any = None

    def __init__(self, cls: type, address: Address, key: Key, instance: Any = None) -> None:
        self._cls = cls
        self._address = address
        self._key = key
        if instance is not None:  # this is the worker's own
            self._instance = instance

    @property
    def key(self) -> Key:
        """The key of the task that made it."""
        return self._key

    @property
    def client(self) -> Client:
        """The client by which it is called."""
        return self._bound().client

    def _bound(self) -> Future:
        """Its future: as long as that lives, so does the object."""
        if self._future is None:
            from nbcluster.client.future import Future

            self._future = Future(self._key)
        return self._future

    def _lost(self, why: str) -> ActorLostError:
        return ActorLostError(
            f"The actor {self._key} is gone with the state that it had: {why}. Make a new one, or retry its future.",
            key=self._key,
        )

    def _ask(self, make: Callable[[int], CallActor | ReadActor]) -> ActorFuture:
        future = self._bound()
        state = future._state
        if state.status not in (PENDING, FINISHED):
            raise self._lost(str(state.exception()))
        return ActorFuture(self, future.client, future.client._ask_peer(self._address, make))

    def __getattr__(self, name: str) -> Any:
        known = getattr(self._cls, name, None) if not name.startswith("__") else None
        if name.startswith("_") and known is None:
            raise AttributeError(f"{self!r} has no attribute {name!r}")
        here = _find_here(self._key, self._address)
        if here is not None:
            return _called_here(getattr(here, name))
        if not callable(known):
            read = self._ask(lambda request: ReadActor(request, self._key, name))
            return read if read._client.asynchronous else read.result()

        @functools.wraps(known)
        def call(*args: Any, separate_thread: bool = True, **kwargs: Any) -> ActorFuture:
            check_flag("separate_thread", separate_thread)
            arguments = serialize.dump((args, kwargs), "arguments", in_band=True)
            return self._ask(lambda request: CallActor(request, self._key, name, arguments))

        return call

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *(name for name in dir(self._cls) if not name.startswith("_"))})

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        serialize.note_dependency(self)
        return _load, (self._cls, self._address, self._key)

    def __eq__(self, other: object) -> bool:
        """Two that stand for the same object are equal, wherever they came from."""
        return isinstance(other, Actor) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"<Actor: {self._cls.__name__}, key={self._key}>"


def _called_here(value: Any) -> Any:
    if not callable(value) or asyncio.iscoroutinefunction(value):
        return value

    @functools.wraps(value)
    def call(*args: Any, **kwargs: Any) -> EagerActorFuture:
        return EagerActorFuture(value(*args, **kwargs))

    return call


def _load(cls: type, address: Address, key: Key) -> Actor:
    actor = Actor(cls, address, key)
    if defaults.current() is not None:  # else it is bound when it is first used
        actor._bound()
    return actor


serialize.rebuild_when_loaded(Actor)
