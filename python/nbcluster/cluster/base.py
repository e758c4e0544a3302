"""A cluster as an object to work with: a façade over one engine, synchronous or not. It holds no policy of its own."""

from __future__ import annotations

import asyncio
import html
import itertools
import math
import os
import warnings
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Protocol, TypeVar

from nbcluster.cluster.adapting import Adaptive as AdaptiveClass
from nbcluster.cluster.logs import Logs, logs_by_source
from nbcluster.comm.loop import LoopThread, background, before_exit
from nbcluster.comm.security import Security
from nbcluster.commands import (
    AnyAnswer,
    AnyCommand,
    GetLogs,
    GetView,
    Scale,
    StopAdapting,
    StopWorkers,
    View,
    check_whole,
)
from nbcluster.commands import Logs as LogAnswer
from nbcluster.engines.base import Engine
from nbcluster.errors import ClusterClosedError, TimeoutError, WorkerStartTimeoutError
from nbcluster.snapshot import ClusterView
from nbcluster.types import Address, Status, WorkerName
from nbcluster.units import format_bytes, parse_bytes, parse_seconds

T = TypeVar("T")
C = TypeVar("C", bound="Cluster")

_open: weakref.WeakSet[Cluster] = weakref.WeakSet()
_letting_go: set[asyncio.Task[None] | None] = set()


class Renderer(Protocol):
    """Makes the card that a notebook shows. Filled in by whoever puts the package together."""

    def __call__(self, cluster: Cluster) -> dict[str, Any]:
        """A MIME bundle."""


class Cluster:
    """A cluster: scale it, watch it, close it. ``LocalCluster`` and ``SubprocessCluster`` make some.

    Args:
        engine: what runs it; not started yet.
        name: what it is called.
        security: with what its connections are encrypted.
        asynchronous: used with ``await``, on the running event loop.
    """

    def __init__(
        self, engine: Engine, name: str, *, asynchronous: bool = False, security: Security | None = None
    ) -> None:
        self.name = name
        self.security = security
        """With what its connections are encrypted; None if they are not, or if somebody else keeps it."""
        self.asynchronous = asynchronous
        self._adaptive: AdaptiveClass | None = None
        self._chores: set[asyncio.Future[object]] = set()
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

    # --- life ---

    async def _start(self) -> Cluster:
        if not self._started:
            self._started = True
            await self._engine.start()
            _open.add(self)
        return self

    def __await__(self) -> Generator[Any, None, Cluster]:
        return self._start().__await__()

    async def _close(self, timeout: float = 10.0) -> None:
        self._adapts_no_more("the cluster was closed")
        self._closed = True
        _open.discard(self)
        await self._engine.close(timeout)

    async def _detach(self) -> None:
        """Let go: what a Jupyter server keeps goes on, everything else ends."""
        self._adapts_no_more("the cluster was let go of")
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

    def __enter__(self: C) -> C:
        if self.asynchronous:
            raise TypeError("this cluster is asynchronous; use 'async with', not 'with'")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self: C) -> C:
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

    # --- what it is ---

    @property
    def status(self) -> Status:
        """``"created"``, ``"starting"``, ``"running"``, ``"closing"``, ``"closed"`` or ``"failed"``."""
        if self._closed:
            return Status.CLOSED
        return self._engine.status

    @property
    def view(self) -> ClusterView:
        """All there is to see of it, as one frozen record."""
        return self._engine.view

    @property
    def engine(self) -> Engine:
        """What runs it."""
        return self._engine

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it lives on."""
        return asyncio.get_running_loop() if self.asynchronous else self._loop_thread.loop

    @property
    def scheduler_address(self) -> Address:
        """Where clients connect."""
        return self._engine.address

    @property
    def connect_address(self) -> Address:
        """Where clients of this process connect."""
        return self._engine.access.address

    @property
    def token(self) -> bytes:
        """The cluster's secret, for clients of this process."""
        return self._engine.access.token

    @property
    def dashboard_link(self) -> str:
        """The dashboard's first page; ``""`` if there is none."""
        return self._engine.view.dashboard_link

    @property
    def workers(self) -> dict[WorkerName, Any]:
        """Views of the workers, by name."""
        return {worker.name: worker for worker in self._engine.view.workers}

    @property
    def plan(self) -> set[WorkerName]:
        """The names of the workers that there should be."""
        return {w.name for w in self._engine.view.workers if w.status != Status.RETIRING}

    @property
    def worker_spec(self) -> dict[WorkerName, dict[str, Any]]:
        """How each of the workers that there should be is made."""
        return {w.name: self._spec_of(w.memory_limit) for w in self._engine.view.workers if w.name in self.plan}

    def new_worker_spec(self) -> dict[WorkerName, dict[str, Any]]:
        """Name and making of the worker that would come next."""
        taken = {worker.name for worker in self._engine.view.workers}
        name = next(number for number in itertools.count() if number not in taken)
        limits = [worker.memory_limit for worker in self._engine.view.workers]
        return {name: self._spec_of(limits[0] if limits else None)}

    def _spec_of(self, memory_limit: int | None) -> dict[str, Any]:
        from nbcluster.cluster import servers

        view = self._engine.view
        in_process = any(worker.pid == os.getpid() for worker in view.workers)
        options = {"nthreads": view.threads_per_worker, "memory_limit": memory_limit}
        return {"cls": servers.Worker if in_process else servers.Nanny, "options": options}

    @property
    def requested(self) -> set[WorkerName]:
        """The names of the workers that were started."""
        return {worker.name for worker in self._engine.view.workers}

    @property
    def observed(self) -> set[WorkerName]:
        """The names of the workers that have joined."""
        return {worker.name for worker in self._engine.view.workers if worker.address}

    @property
    def scheduler_info(self) -> dict[str, Any]:
        """The scheduler and its workers as plain dicts."""
        from nbcluster.client.observing import info_of_view

        return info_of_view(self._engine.view)

    # --- what it does ---

    def _sync(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        then: Callable[[T], Any] | None = None,
    ) -> Any:
        if self._closed:
            raise ClusterClosedError(f"the cluster {self.name!r} is closed; make a new one")
        if self.asynchronous:
            return _then(function(*args), then)
        result = self._loop_thread.sync(function, *args)
        return result if then is None else then(result)

    async def _call(self, command: AnyCommand) -> AnyAnswer:
        return await self._engine.call(command)

    def scale(self, n: int | None = 0, memory: int | str | None = None, cores: int | None = None) -> Any:
        """Have this many workers, or as many as have this much memory or this many cores in all. Ends adapting.

        Args:
            n: how many workers.
            memory: bytes in all, e.g. ``"8GiB"``.
            cores: threads in all.

        Raises:
            TypeError, ValueError: names the argument, its value and what is allowed.

        Example:
            >>> cluster.scale(3)
        """
        wanted = 0 if n is None and (memory or cores) is not None else n
        check_whole("n", wanted, least=0)
        assert wanted is not None
        if cores is not None:
            check_whole("cores", cores, least=0)
            wanted = max(wanted, math.ceil(cores / self._engine.view.threads_per_worker))
        if memory is not None:
            wanted = max(wanted, math.ceil(self._workers_with("memory", memory)))
        self._adapts_no_more("the cluster was scaled")
        return self._sync(self._call, Scale(n=wanted), then=lambda _: None)

    scale_up = scale

    def scale_down(self, workers: Iterable[WorkerName]) -> Any:
        """Have these workers no more; what they hold moves to others first. Ends adapting.

        Args:
            workers: names, as in ``cluster.workers``.

        Raises:
            ValueError: there is no such worker.
        """
        if isinstance(workers, str):
            raise TypeError(f"workers={workers!r} is a text; give a list of names")
        self._adapts_no_more("the cluster was scaled")
        return self._sync(self._stop_workers, list(workers))

    async def _stop_workers(self, names: list[WorkerName]) -> None:
        await self._engine.call(StopAdapting())
        await self._engine.call(StopWorkers(names=names))

    def _adapts_no_more(self, reason: str) -> None:
        if self._adaptive is not None:
            self._adaptive.replaced(reason)
            self._adaptive = None

    def _workers_with(self, name: str, memory: int | str) -> float:
        total = parse_bytes(memory, name) if isinstance(memory, str) else memory
        check_whole(name, total, least=0)
        limits = [worker.memory_limit for worker in self._engine.view.workers if worker.memory_limit]
        if not limits:
            raise ValueError(f"{name}={memory!r} needs workers that have a memory limit; give a number of workers")
        return total / limits[0]

    def adapt(
        self,
        Adaptive: type[AdaptiveClass] = AdaptiveClass,  # noqa: N803 (the peer's name)
        minimum: int = 0,
        maximum: float | None = None,
        minimum_cores: int | None = None,
        maximum_cores: int | None = None,
        minimum_memory: int | str | None = None,
        maximum_memory: int | str | None = None,
        **options: Any,
    ) -> AdaptiveClass:
        """Choose the number of workers by the work there is. Replaces what an earlier ``adapt`` said.

        Args:
            Adaptive: a subclass of ``Adaptive`` decides otherwise.
            minimum: never fewer workers.
            maximum: never more; infinite or None: as many as the machine can hold.
            minimum_cores, maximum_cores: the same in threads, of all workers.
            minimum_memory, maximum_memory: the same in bytes, or text like ``"8GiB"``.
            options: of ``Adaptive``: ``interval``, ``target_duration``, ``wait_count``.

        Returns:
            An ``Adaptive``: what it decides is in its ``log``; ``stop()`` ends it. With an asynchronous cluster,
            awaiting it waits until it has begun.

        Example:
            >>> cluster.adapt(minimum=1, maximum=4)
        """
        if not (isinstance(Adaptive, type) and issubclass(Adaptive, AdaptiveClass)):
            raise TypeError(f"Adaptive={Adaptive!r} is not a subclass of nbcluster.Adaptive")
        threads = self._engine.view.threads_per_worker
        for name, value in (("minimum_cores", minimum_cores), ("maximum_cores", maximum_cores)):
            if value is not None:
                check_whole(name, value, least=0)
        least, most = [], [] if maximum is None else [maximum]
        if minimum_cores is not None:
            least.append(math.ceil(minimum_cores / threads))
        if minimum_memory is not None:
            least.append(math.ceil(self._workers_with("minimum_memory", minimum_memory)))
        if maximum_cores is not None:
            most.append(maximum_cores // threads)
        if maximum_memory is not None:
            most.append(math.floor(self._workers_with("maximum_memory", maximum_memory)))
        bounds: dict[str, Any] = {
            "minimum": max([minimum, *least]) if least else minimum,
            "maximum": min(most) if most else None,
        }
        made = Adaptive(self, **bounds, **options)
        if self._closed:
            raise ClusterClosedError(f"the cluster {self.name!r} is closed; make a new one")
        self._adapts_no_more("another adapt() took its place")
        self._adaptive = made
        if self.asynchronous:
            self.soon(made.start)
        else:
            self._loop_thread.sync(made.start)
        return made

    def soon(self, function: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Have something done on the cluster's event loop, from any thread."""

        def begin() -> None:
            task = asyncio.ensure_future(function())
            self._chores.add(task)
            task.add_done_callback(self._chores.discard)

        if self.asynchronous:
            begin()
        elif self._loop_thread.running:
            self._loop_thread.call_soon(begin)

    def get_logs(self, cluster: bool = True, scheduler: bool = True, workers: bool | list[str] = True) -> Any:
        """What the cluster's parts have written, in order; of workers also what tasks print.

        Args:
            cluster: include the cluster's own log.
            scheduler: include the scheduler's.
            workers: all workers (True), none (False), or a list of addresses.

        Returns:
            A dict of texts: ``"Cluster"``, ``"Scheduler"``, and each worker's address.
        """

        def shape(answer: AnyAnswer) -> Logs:
            lines = answer.lines if isinstance(answer, LogAnswer) else []
            own = {"Cluster", "Scheduler"}
            present = [worker.address for worker in self._engine.view.workers if worker.address]
            addresses = dict.fromkeys([*present, *(line.source for line in lines if line.source not in own)])
            chosen = addresses if workers is True else (workers or [])
            sources = [*["Cluster"] * cluster, *["Scheduler"] * scheduler, *chosen]
            return logs_by_source(lines, sources)

        return self._sync(self._call, GetLogs(limit=1_000_000), then=shape)

    def wait_for_workers(self, n_workers: int, timeout: float | str | None = None) -> Any:
        """Wait until this many workers are there.

        Raises:
            ValueError: ``n_workers`` is not a positive number.
            WorkerStartTimeoutError: they did not arrive in time.
        """
        if isinstance(n_workers, bool) or not isinstance(n_workers, int) or n_workers < 1:
            raise ValueError(f"n_workers={n_workers!r} is not allowed; give a whole number of at least 1")
        seconds = None if timeout is None else parse_seconds(timeout, "timeout")
        return self._sync(self._wait_for_workers, n_workers, seconds)

    async def _wait_for_workers(self, n_workers: int, timeout: float | None) -> None:
        changed = asyncio.Event()
        unsubscribe = self._engine.subscribe(lambda _view: changed.set(), 0.1)
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        try:
            while True:
                answer = await self._engine.call(GetView())
                there = (
                    sum(w.status == Status.RUNNING for w in answer.cluster.workers) if isinstance(answer, View) else 0
                )
                if there >= n_workers:
                    return
                changed.clear()
                left = None if deadline is None else deadline - loop.time()
                try:
                    if left is not None and left <= 0:
                        raise TimeoutError
                    await asyncio.wait_for(changed.wait(), left)
                except asyncio.TimeoutError:
                    raise WorkerStartTimeoutError(there, n_workers, timeout or 0.0) from None
        finally:
            unsubscribe()

    def get_client(self) -> Any:
        """A client of this cluster: the current one if it is one, else a new one."""
        from nbcluster.client.client import Client
        from nbcluster.client.defaults import current

        client = current()
        if client is not None and client.cluster is self:
            return client
        return Client(self, asynchronous=self.asynchronous)

    # --- how it looks ---

    renderer: Renderer | None = None

    def __repr__(self) -> str:
        view = self._engine.view
        there = [worker for worker in view.workers if worker.address]
        threads = sum(worker.nthreads for worker in there)
        name = self.name or '""'
        text = f"{type(self).__name__}({name}, {self.scheduler_address!r}, workers={len(there)}, threads={threads}"
        limits = [worker.memory_limit for worker in there]
        if limits and all(limits):
            text += f", memory={format_bytes(sum(limit or 0 for limit in limits))}"
        return text + ")"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Cluster) and self.name == other.name

    def __hash__(self) -> int:
        return id(self)

    def _repr_html_(self) -> str:
        bundle = self._repr_mimebundle_()
        return str(bundle.get("text/html", html.escape(repr(self))))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        renderer = type(self).renderer
        return {"text/plain": repr(self)} if renderer is None else renderer(self)


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
