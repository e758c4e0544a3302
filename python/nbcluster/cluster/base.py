"""A cluster as an object to work with: a façade over one engine, synchronous or not. It holds no policy of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from nbcluster.arguments import check_flag, check_several, check_worker_count, check_workers
from nbcluster.cluster import bounds, making
from nbcluster.cluster.adapting import Adaptive as AdaptiveClass
from nbcluster.cluster.arriving import wait_for_workers, wait_until_settled
from nbcluster.cluster.keywords import check_names
from nbcluster.cluster.lifecycle import Lifecycle
from nbcluster.cluster.logs import Logs, logs_by_source
from nbcluster.comm.security import Security
from nbcluster.commands import AnyAnswer, AnyCommand, GetLogs, Scale, StopAdapting, StopWorkers
from nbcluster.commands import Logs as LogAnswer
from nbcluster.engines.base import Engine
from nbcluster.markup import escape
from nbcluster.snapshot import ClusterView
from nbcluster.types import Address, Status, WorkerName
from nbcluster.units import format_bytes, parse_seconds

C = TypeVar("C", bound="Cluster")


class Renderer(Protocol):
    """Makes the card that a notebook shows. Filled in by whoever puts the package together."""

    def __call__(self, cluster: Cluster) -> dict[str, Any]:
        """A MIME bundle."""


class Cluster(Lifecycle):
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
        check_flag("asynchronous", asynchronous)
        self.security = security
        """With what its connections are encrypted; None if they are not, or if somebody else keeps it."""
        self._adaptive: AdaptiveClass | None = None
        super().__init__(engine, name, asynchronous=asynchronous)

    def _ending(self, reason: str) -> None:
        self._adapts_no_more(reason)

    # --- what it is ---

    @property
    def view(self) -> ClusterView:
        """All there is to see of it, as one frozen record."""
        return self._engine.view

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
        return making.made_of(self._engine.view, self.plan)

    def new_worker_spec(self) -> dict[WorkerName, dict[str, Any]]:
        """Name and making of the worker that would come next."""
        return making.next_of(self._engine.view)

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
        wanted = bounds.workers_for(self._engine.view, n, memory, cores)
        self._adapts_no_more("the cluster was scaled")
        return self._order(self._call, Scale(n=wanted), then=lambda _: None)

    scale_up = scale

    def scale_down(self, workers: Iterable[WorkerName]) -> Any:
        """Have these workers no more; what they hold moves to others first. Ends adapting.

        Args:
            workers: names, as in ``cluster.workers``.

        Raises:
            ValueError: there is no such worker.
        """
        names = check_several("workers", workers, "names")
        self._adapts_no_more("the cluster was scaled")
        return self._order(self._stop_workers, names)

    async def _stop_workers(self, names: list[WorkerName]) -> None:
        await self._engine.call(StopAdapting())
        await self._engine.call(StopWorkers(names=names))

    async def _settled(self: C) -> C:
        await self._start()
        if self._unsettled:
            await asyncio.gather(*self._orders)
            await wait_until_settled(self._engine)
            self._unsettled = False
        return self

    def _adapts_no_more(self, reason: str) -> None:
        if self._adaptive is not None:
            self._adaptive.replaced(reason)
            self._adaptive = None

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
            >>> adaptive = cluster.adapt(minimum=1, maximum=4)
            >>> adaptive.stop()
        """
        if not (isinstance(Adaptive, type) and issubclass(Adaptive, AdaptiveClass)):
            raise TypeError(f"Adaptive={Adaptive!r} is not a subclass of nbcluster.Adaptive")
        check_names("adapt()", options, Adaptive)
        least, most = bounds.limits_for(
            self._engine.view, minimum, maximum, minimum_cores, maximum_cores, minimum_memory, maximum_memory
        )
        made = Adaptive(self, minimum=least, maximum=float("inf") if most is None else most, **options)
        made.hurry()
        return made

    def adapts_by(self, adaptive: AdaptiveClass) -> None:
        """Have an ``Adaptive`` begin, in place of the one before. Each does this itself when it is made."""
        self._check_open()
        self._adapts_no_more("another one took its place")
        self._adaptive = adaptive
        if self.asynchronous:
            self.soon(adaptive.begin)
        else:
            self._loop_thread.sync(adaptive.begin)

    def get_logs(self, cluster: bool = True, scheduler: bool = True, workers: bool | list[str] = True) -> Any:
        """What the cluster's parts have written, in order; of workers also what tasks print.

        Args:
            cluster: include the cluster's own log.
            scheduler: include the scheduler's.
            workers: all workers (True), none (False), or a list of addresses.

        Returns:
            A dict of texts: ``"Cluster"``, ``"Scheduler"``, and each worker's address.
        """
        check_flag("cluster", cluster)
        check_flag("scheduler", scheduler)
        named = workers if isinstance(workers, bool) else check_workers("workers", workers)

        def shape(answer: AnyAnswer) -> Logs:
            lines = answer.lines if isinstance(answer, LogAnswer) else []
            own = {"Cluster", "Scheduler"}
            present = [worker.address for worker in self._engine.view.workers if worker.address]
            addresses = dict.fromkeys([*present, *(line.source for line in lines if line.source not in own)])
            chosen = addresses if named is True else (named or [])
            sources = [*["Cluster"] * cluster, *["Scheduler"] * scheduler, *chosen]
            return logs_by_source(lines, sources)

        return self._sync(self._call, GetLogs(limit=1_000_000), then=shape)

    def wait_for_workers(self, n_workers: int, timeout: float | str | None = None) -> Any:
        """Wait until this many workers are there.

        Raises:
            ValueError: ``n_workers`` is not a positive number.
            WorkerStartTimeoutError: they did not arrive in time.
        """
        check_worker_count("n_workers", n_workers)
        seconds = None if timeout is None else parse_seconds(timeout, "timeout")
        return self._sync(wait_for_workers, self._engine, n_workers, seconds)

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
        return str(bundle.get("text/html", escape(repr(self))))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        renderer = type(self).renderer
        return {"text/plain": repr(self)} if renderer is None else renderer(self)
