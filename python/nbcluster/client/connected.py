"""A client's life: it connects, runs coroutines for callers of either kind, and closes.

One implementation, asynchronous, on an event loop; in synchronous use that loop runs in a background thread
and each method waits for its coroutine. What pickles or unpickles does so in the caller's thread, not on the
loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nbcluster import dask_settings
from nbcluster.arguments import check_flag, check_optional_flag, check_path, check_text
from nbcluster.client import dask_default, defaults
from nbcluster.client.cells import cells_of
from nbcluster.client.destination import Destination
from nbcluster.client.future import Future
from nbcluster.client.greeting import Greeting
from nbcluster.client.keywords import check_peer_keywords, make_extensions
from nbcluster.client.session import Session
from nbcluster.client.states import FutureState
from nbcluster.client.submission import unique_token
from nbcluster.client.target import ClusterLike, Target, is_cluster
from nbcluster.comm import scheduler_file, tls_contexts
from nbcluster.comm.knocking import Knocked, knock
from nbcluster.comm.loop import LoopThread, background, before_exit, wait_for_latch
from nbcluster.comm.peers import PeerPool
from nbcluster.comm.security import Security, security_of_client
from nbcluster.comm.transports import connect
from nbcluster.commands import Close
from nbcluster.deadlines import within
from nbcluster.errors import ClosedClientError, TimeoutError
from nbcluster.protocol.messages import Line, ToClient, Welcome
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Role
from nbcluster.units import parse_seconds

if TYPE_CHECKING:
    from nbcluster.client.client import Client

T = TypeVar("T")

VIEWS = 1.0
"""Seconds between two views of its cluster that a client is sent, at least."""

_open: weakref.WeakSet[ConnectedClient] = weakref.WeakSet()
_running: weakref.WeakSet[ConnectedClient] = weakref.WeakSet()
"""All that are connected; those that are open are to be closed when a script ends."""


TIMEOUT = 30.0
"""Seconds to wait for a connection, unless somebody says or has set something else: this very object."""


class _NotConnected:
    """Stands for what there is once a client is connected."""

    def __getattr__(self, name: str) -> Any:
        raise ClosedClientError("This client is not connected yet: await it first, or use 'async with'.")


class ConnectedClient:
    """What every part of a client builds on: its link to a cluster, and how to run something on the loop."""

    _of_tasks = False
    """Whether it is the client that tasks use."""

    def __init__(
        self,
        address: str | ClusterLike | Target | None = None,
        loop: Any = None,
        timeout: float | str | None = TIMEOUT,
        set_as_default: bool = True,
        scheduler_file: scheduler_file.StrPath | None = None,
        security: Any = None,
        asynchronous: bool = False,
        name: str | None = None,
        heartbeat_interval: float | str | None = None,
        serializers: Sequence[str] | None = None,
        deserializers: Sequence[str] | None = None,
        extensions: Mapping[str, Callable[[Any], Any]] = MappingProxyType({}),
        direct_to_workers: bool | None = None,
        connection_limit: int = 512,
        *,
        cancel_on_interrupt: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if timeout is None:
            raise ValueError("timeout=None is not allowed for a client; give a number of seconds")
        if (address is not None or scheduler_file is not None) and kwargs:
            raise ValueError(f"Unexpected keyword arguments: {sorted(kwargs)}")
        if address is not None and scheduler_file is not None:
            raise ValueError(f"address={address!r} and scheduler_file={scheduler_file!r}: give one of them")
        if scheduler_file is not None:
            scheduler_file = check_path("scheduler_file", scheduler_file)
        check_flag("set_as_default", set_as_default)
        check_flag("asynchronous", asynchronous)
        check_optional_flag("cancel_on_interrupt", cancel_on_interrupt)
        if name is not None:
            check_text("name", name)
        check_peer_keywords(heartbeat_interval, serializers, deserializers, direct_to_workers, connection_limit)
        if not (address is None or isinstance(address, (str, Target)) or is_cluster(address)):
            raise TypeError(
                f"address={address!r} is neither an address like 'tcp://127.0.0.1:8786' nor a cluster object"
            )
        if not asynchronous:
            _check_not_in_the_way(address)
        self.id = f"Client-{name or 'nbcluster'}-{unique_token()}"
        self.name = name
        self._status = "connecting"
        self.asynchronous = asynchronous
        self.cluster: Any = None
        set_here = dask_settings.keywords_set(dask_settings.CLIENTS) if timeout is TIMEOUT else {}
        with dask_settings.named({}, dask_settings.CLIENTS) if set_here else contextlib.nullcontext():
            self._timeout = parse_seconds(set_here.get("timeout", timeout), "timeout")
        self.scheduler_file = scheduler_file
        made_by_cluster = address is None and scheduler_file is None and security is True
        self.security = None if made_by_cluster else security_of_client(security)
        if address is None and scheduler_file is None and (made_by_cluster or self.security is not None):
            kwargs["security"] = self.security or True
        self._destination = Destination(address, scheduler_file, self.security, self._timeout, kwargs)
        self._set_as_default = set_as_default
        self._loop_thread = background()
        self._cells = cells_of(cancel_on_interrupt)
        if self._cells is not None:
            self._cells.watch(self._this)
        self._session = cast("Session", _NotConnected())
        self._welcome = cast("Welcome", self._session)
        self._owns_cluster = False
        self.extensions = make_extensions(extensions, self)
        if not asynchronous:
            self._loop_thread.start()
            try:
                target = self._destination.find(self._loop_thread)
                self._connect(target)
            except BaseException:
                self._status = "closed"
                self._leave_loop_thread()
                raise

    # --- life ---

    async def _look(self) -> None:
        """Before an asynchronous client is there: have it know its cluster."""

    def _connect(self, target: Target) -> None:
        knocked = knock(target.address, role=Role.CLIENT, token=target.token)
        try:
            self._loop_thread.sync(self._start, target, knocked)
        finally:
            if knocked is not None:
                knocked.close()

    async def _start(self, target: Target, knocked: Knocked | None = None) -> None:
        self.cluster = target.cluster
        self._owns_cluster = target.owned
        try:
            if self.security is None and isinstance(security := getattr(self.cluster, "security", None), Security):
                self.security = security
            identity = target.tls or (None if self.security is None else self.security.identity("client"))
            ssl = None if identity is None else tls_contexts.connecting(identity)
            must = ssl is not None and self.security is not None and self.security.require_encryption
            greeting = Greeting(self.id, VIEWS)
            connection = await connect(
                target.address,
                role=Role.CLIENT,
                token=target.token,
                incoming=ToClient,
                timeout=self._timeout,
                ssl=ssl if must or target.address.startswith("tls://") else None,
                opening=greeting.messages,
                knocked=knocked,
            )
            self._session = Session(connection, PeerPool(target.token, ssl=ssl), greeting, target.token)
            self._session.of_tasks = self._of_tasks
            self._welcome = await self._session.start(self._timeout)
            if self.asynchronous and not self._of_tasks:
                await self._look()
        except BaseException:
            if target.owned:
                await target.cluster._detach()
            raise
        self._status = "running"
        _running.add(self)
        if not self.asynchronous:
            _open.add(self)
        if self._set_as_default:
            defaults.push(self._this)

    async def _close(self) -> None:
        if self._status != "running":
            self._status = "closed"
            return
        self._status = "closed"
        _running.discard(self)
        defaults.remove(self._this)
        await self._session.close("the client was closed")
        if self._owns_cluster:
            await self.cluster._detach()

    def close(self, timeout: float | str | None = None) -> Any:
        """Release all futures and disconnect; a cluster that this client made is closed too. Idempotent."""
        seconds = seconds_or_none(timeout)
        if self.asynchronous:
            return self._close()
        if self._status == "closed":
            return None
        try:
            self._loop_thread.sync(self._close, timeout=seconds)
        finally:
            self._leave_loop_thread()
        return None

    def _leave_loop_thread(self) -> None:
        """Be no user of the background loop any more, nor the cluster if it was closed along with this client."""
        leave: Callable[[], None] | None = getattr(self.cluster, "_leave_loop_thread", None)
        if leave is not None:
            leave()
        self._loop_thread.stop()

    def shutdown(self) -> Any:
        """Close the cluster too, whoever made it."""
        if self.asynchronous:
            return self._shutdown()
        if self._status == "closed":
            if self.cluster is not None:
                self.cluster.close()
            return None
        try:
            self._loop_thread.sync(self._shutdown)
        finally:
            if self._status == "closed":  # else the cluster has refused
                self._leave_loop_thread()
        return None

    async def _shutdown(self) -> None:
        if self.cluster is None:
            await self._session.call(Close(reason="a client asked for it"))
        else:
            self._owns_cluster = False
            await self.cluster._close()
        await self._close()

    def _enter(self) -> None:
        """A ``with`` block makes the client the current one, unless it is to be asked for by name only."""
        self._current = defaults.as_current(self._this) if self._set_as_default else contextlib.nullcontext()
        self._current.__enter__()

    def _leave(self) -> None:
        self._current.__exit__(None, None, None)

    def __enter__(self) -> Client:
        if self.asynchronous:
            raise TypeError("this client is asynchronous; use 'async with', not 'with'")
        self._enter()
        return self._this

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._leave()
        self.close()

    async def __aenter__(self) -> Client:
        await self
        self._enter()
        return self._this

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._leave()
        await self._close()

    def __await__(self) -> Any:
        return self._started().__await__()

    async def _started(self) -> Client:
        if self._status == "connecting":
            await self._start(await self._destination.find_async())
        return self._this

    def __del__(self) -> None:
        if getattr(self, "_status", "closed") == "running" and not self.asynchronous:
            loop_thread = self._loop_thread
            if loop_thread.running:
                loop_thread.call_soon(_close_forgotten, self._session, loop_thread)

    @property
    def status(self) -> str:
        """``"connecting"``, ``"running"``, or ``"closed"``: by itself, or because its cluster is gone."""
        gone = self._status == "running" and self._session.wants.closed_because
        return "closed" if gone else self._status

    # --- which client ---

    @classmethod
    def current(cls, allow_global: bool = True) -> Client:
        """The client that is meant when none is named.

        Raises:
            ValueError: there is none.
        """
        client = defaults.current(check_flag("allow_global", allow_global))
        if client is None:
            raise ValueError("No clients found. Start a client first: client = Client()")
        return client

    @contextlib.contextmanager
    def as_current(self) -> Iterator[Client]:
        """Make this the current client in a ``with`` block, in this thread or task only.

        What dask computes there is computed by it, whatever scheduler was configured before.
        """
        with defaults.as_current(self._this) as client, dask_default.chosen():
            yield client

    def _others_here(self) -> list[ConnectedClient]:
        """The other clients of this process that are connected to the same cluster."""
        cluster = self._welcome.cluster_id
        return [one for one in list(_running) if one is not self and one._welcome.cluster_id == cluster]

    # --- running on the loop ---

    def _sync(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        then: Callable[[T], Any] | None = None,
        timeout: float | None = None,
        asynchronous: bool | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Any:
        """Run a coroutine function on the loop; ``then`` runs in the caller's thread.

        With ``asynchronous=True`` a synchronous client, too, returns something to be awaited, on any loop.
        ``meanwhile`` is for a thread that waits: see ``LoopThread.sync_while``. It takes no ``timeout`` beside it.
        """
        if self.asynchronous:
            return awaited(function(*args), then, timeout)
        if asynchronous:
            return awaited(self._elsewhere(function, *args), then, timeout)
        if self._status == "closed":
            raise ClosedClientError("This client is closed. Make a new Client().")
        loop_thread = self._loop_thread
        try:
            if meanwhile is None:
                result = loop_thread.sync(function, *args, timeout=timeout, wait=self._at_latch)
            else:
                result = loop_thread.sync_while(meanwhile, function, *args, wait=self._at_latch)
        except KeyboardInterrupt:
            self._interrupted()
            raise
        return result if then is None else then(result)

    async def _elsewhere(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine on the link's loop, and wait for it on another."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(*args), self._loop_thread.loop))

    def _at_latch(self, latch: threading.Lock, timeout: float | None) -> bool:
        """Wait in this thread, for one of this client's futures."""
        return wait_for_latch(latch, timeout)

    def _elsewhere_for_a_while(self) -> AbstractContextManager[None]:
        """For a block that waits for this client's futures without asking it."""
        return contextlib.nullcontext()

    def _wait_for_one(self, state: FutureState, timeout: float | None) -> bool:
        """Wait in this thread until a state is not pending; False if that takes longer than ``timeout``."""
        return self._session.reading.wait(state, timeout, self._at_latch)

    def _make_known(self) -> None:
        """Before a future travels by another way than this client's link: have the scheduler know its task."""

    def _ask_peer(self, address: Address, make: Callable[[int], Message]) -> concurrent.futures.Future[Any]:
        """Ask a worker something, on the link to it. What one thread asks arrives in that order."""
        session = self._session
        return asyncio.run_coroutine_threadsafe(session.ask_peer(address, make), session.wants.loop)

    async def _await_here(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The same on an event loop."""
        return await coroutine

    def _line(self, fifo_timeout: float) -> Line:
        """Where in line comes what is submitted here and now."""
        return self._session.generations.line(fifo_timeout)

    def _cell(self) -> str | None:
        return None if self._cells is None else self._cells.current()

    def _interrupted(self) -> None:
        """The user interrupted this thread while it waited."""
        if self._cells is not None:
            self._cells.interrupted()

    def _cancel_cell(self, cell: str, reason: str, msg: str) -> None:
        if self._status == "running":
            self._session.wants.cancel_cell(cell, reason, msg)

    def _call_on_loop(self, function: Callable[..., object], *args: Any) -> None:
        self._session.on_loop(function, *args)

    # --- futures ---

    @property
    def _this(self) -> Client:
        """This object, by the type that others know."""
        return cast("Client", self)

    def _futures(self, states: Iterable[FutureState]) -> list[Future]:
        return Future._of_all(states, self._this)


def _check_not_in_the_way(cluster: object) -> None:
    """See that the cluster does not live on the event loop that would wait for it.

    Raises:
        RuntimeError: it does.
    """
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if getattr(cluster, "asynchronous", False) is True and getattr(cluster, "loop", None) is running:
        raise RuntimeError(
            f"{cluster!r} lives on the event loop that runs here, and a client that waits would stop it: "
            "use Client(cluster, asynchronous=True)"
        )


def seconds_or_none(timeout: float | str | None) -> float | None:
    """A ``timeout`` argument in seconds; None means for ever."""
    return None if timeout is None else parse_seconds(timeout, "timeout")


async def awaited(coroutine: Coroutine[Any, Any, T], then: Callable[[T], Any] | None, timeout: float | None) -> Any:
    """What an asynchronous client returns: to be awaited within ``timeout``, and passed through ``then``."""
    result = await (coroutine if timeout is None else within(coroutine, timeout))
    return result if then is None else then(result)


async def nothing() -> None:
    """What an asynchronous client returns where nothing is to be waited for but what the loop was told before."""
    await asyncio.sleep(0)


def _close_all() -> None:
    """What a script leaves open is closed when it ends."""
    for client in list(_open):
        try:
            client.close(timeout=10)
        except (RuntimeError, TimeoutError):
            continue  # the interpreter goes down, and the link with it


before_exit(_close_all)


def _close_forgotten(session: Session, loop_thread: LoopThread) -> None:
    session.close_soon("the client was forgotten")
    loop_thread.stop()
