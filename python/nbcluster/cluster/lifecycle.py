"""The life of a cluster in a user's hands: which loop it is on, how it begins, and the ways in which it ends.

close()                  ends it
end of a script          ends what is its own, lets go of what a Jupyter server keeps
nobody holds it          the same, with a warning if it is its own
"""

from __future__ import annotations

import asyncio
import logging
import warnings
import weakref
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from nbcluster.comm.loop import LoopThread, background, before_exit
from nbcluster.engines.base import Engine
from nbcluster.errors import ClusterClosedError, ClusterError, TimeoutError
from nbcluster.types import Status
from nbcluster.units import parse_seconds

T = TypeVar("T")
L = TypeVar("L", bound="Lifecycle")

logger = logging.getLogger("nbcluster.cluster")

_open: weakref.WeakSet[Lifecycle] = weakref.WeakSet()
_letting_go: set[asyncio.Task[None] | None] = set()


class Lifecycle:
    """Holds an engine, and runs its coroutines for callers that are synchronous or not.

    Args:
        engine: what runs the cluster; not started yet.
        name: what it is called.
        asynchronous: used with ``await``, on the running event loop.
    """

    def __init__(self, engine: Engine, name: str, *, asynchronous: bool = False) -> None:
        self.name = name
        self.asynchronous = asynchronous
        self._chores: set[asyncio.Future[object]] = set()
        self._orders: set[asyncio.Task[Any]] = set()
        """What was ordered and is not carried out yet; of an asynchronous cluster."""
        self._unsettled = False
        """Something was ordered since the cluster was awaited."""
        self._engine = engine
        self._loop_thread: LoopThread = background()
        self._started = False
        self._closed = False
        self._uses_loop_thread = not asynchronous
        if not asynchronous:
            self._loop_thread.start()
            try:
                self._loop_thread.sync(self._start)
            except BaseException:
                self._closed = True
                self._leave_loop_thread()
                raise

    @property
    def engine(self) -> Engine:
        """What runs it."""
        return self._engine

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it lives on."""
        return asyncio.get_running_loop() if self.asynchronous else self._loop_thread.loop

    @property
    def status(self) -> Status:
        """``"created"``, ``"starting"``, ``"running"``, ``"closing"``, ``"closed"`` or ``"failed"``."""
        if self._closed:
            return Status.CLOSED
        return self._engine.status

    # --- its beginning ---

    async def _start(self: L) -> L:
        if not self._started:
            self._started = True
            await self._engine.start()
            _open.add(self)
        return self

    def __await__(self: L) -> Generator[Any, None, L]:
        return self._settled().__await__()

    async def _settled(self: L) -> L:
        """Wait until it has started, and what was ordered is done."""
        return await self._start()

    # --- its end ---

    def _ending(self, reason: str) -> None:
        """Called before it ends, for what depends on it."""

    async def _close(self, timeout: float = 10.0) -> None:
        self._ending("the cluster was closed")
        self._closed = True
        _open.discard(self)
        await self._engine.close(timeout)

    async def _detach(self) -> None:
        """Let go: what a Jupyter server keeps goes on, everything else ends."""
        self._ending("the cluster was let go of")
        self._closed = True
        _open.discard(self)
        await self._engine.detach()

    def close(self, timeout: float | str | None = None) -> Any:
        """End the cluster and everything that belongs to it. Idempotent."""
        seconds = 10.0 if timeout is None else parse_seconds(timeout, "timeout")
        if self.asynchronous:
            return self._close(seconds)
        try:
            if not self._closed:
                self._loop_thread.sync(self._close, seconds)
        finally:
            self._leave_loop_thread()
        return None

    def _leave_loop_thread(self) -> None:
        """Be no user of the background loop any more; for whoever has closed the cluster, in his own thread."""
        if self._closed and self._uses_loop_thread:
            self._uses_loop_thread = False
            self._loop_thread.stop()

    def __enter__(self: L) -> L:
        if self.asynchronous:
            raise TypeError("this cluster is asynchronous; use 'async with', not 'with'")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self: L) -> L:
        await self
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def __del__(self) -> None:
        if getattr(self, "_started", False) and not self._closed and self.status == Status.RUNNING:
            engine, loop_thread = self._engine, self._loop_thread
            if not engine.shared:
                warnings.warn(f"unclosed cluster {self!r}", ResourceWarning, source=self, stacklevel=1)
            if not self.asynchronous and loop_thread.running:
                loop_thread.call_soon(lambda: _letting_go.add(asyncio.ensure_future(_let_go(engine, loop_thread))))

    # --- in between ---

    def _check_open(self) -> None:
        if self._closed:
            raise ClusterClosedError(f"the cluster {self.name!r} is closed; make a new one")
        if not self._started:
            raise ClusterError(f"the cluster {self.name!r} has not started: await it first, or use 'async with'")

    def _sync(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        then: Callable[[T], Any] | None = None,
    ) -> Any:
        self._check_open()
        if self.asynchronous:
            return _then(function(*args), then)
        result = self._loop_thread.sync(function, *args)
        return result if then is None else then(result)

    def _order(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        then: Callable[[T], Any] | None = None,
    ) -> Any:
        """The same, begun at once: of an asynchronous cluster too, whether or not somebody awaits it."""
        doing = self._sync(function, *args, then=then)
        if not self.asynchronous:
            return doing
        self._unsettled = True
        task = asyncio.ensure_future(doing)
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)
        return task

    def soon(self, function: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Have something done on the cluster's event loop, from any thread."""

        def begin() -> None:
            task = asyncio.ensure_future(function())
            self._chores.add(task)
            task.add_done_callback(self._chore_ended)

        if self.asynchronous:
            begin()
        elif self._loop_thread.running:
            self._loop_thread.call_soon(begin)

    def _chore_ended(self, chore: asyncio.Future[object]) -> None:
        self._chores.discard(chore)
        if not chore.cancelled() and (error := chore.exception()) is not None:
            logger.error("The cluster %r could not do what it was to do: %s", self.name, error, exc_info=error)


def check_loop(loop: Any, asynchronous: bool) -> None:
    """Accept the event loop that a cluster or a client runs on anyway, or None.

    Raises:
        ValueError: it is another one.
    """
    if loop is None:
        return
    loop = getattr(loop, "asyncio_loop", loop)  # tornado's wrapper
    if asynchronous:
        wanted = _running_loop()
    else:
        thread = background()
        wanted = thread.loop if thread.running else None
    if loop is not wanted:
        own = "the running event loop" if asynchronous else "an event loop of its own, in the background"
        raise ValueError(f"loop={loop!r} cannot be used: this runs on {own}; leave it out")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _let_go(engine: Engine, loop_thread: LoopThread) -> None:
    """The end of a cluster that nobody holds any more."""
    try:
        await engine.detach()
    finally:
        _letting_go.discard(asyncio.current_task())
        loop_thread.stop()


async def _then(coroutine: Coroutine[Any, Any, T], then: Callable[[T], Any] | None) -> Any:
    result = await coroutine
    return result if then is None else then(result)


def _close_all() -> None:
    """What a script leaves open is closed when it ends."""
    for cluster in list(_open):
        if not cluster.asynchronous and cluster._loop_thread.running:
            try:
                cluster._loop_thread.sync(cluster._detach, timeout=10)
            except (RuntimeError, TimeoutError):
                continue  # the interpreter goes down; the zygote ends what is left


before_exit(_close_all)
