"""``Adaptive``: what ``cluster.adapt()`` returns, and what a policy of one's own derives from.

nothing overridden      the cluster decides where it runs, by ``cluster.scaling``; this object watches. It goes on
                        when the notebook that began it has ended.
something overridden    this object decides, on the event loop of the cluster object, again and again:

    target() ─▶ within minimum and maximum ─▶ recommendations() ─▶ same
                                                   │             ├▶ up    ─▶ scale_up(n)
           those that have not come yet, then ◀────┘             └▶ down  ─▶ scale_down(names)
           workers_to_close(target), but only those that ``wait_count`` looks in a row name

A cluster has one ``Adaptive`` at a time: who is made takes the place of the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from nbcluster import dask_settings
from nbcluster.cluster.lifecycle import Lifecycle
from nbcluster.cluster.scaling import Load, Scaler
from nbcluster.cluster.shrinking import GroupOf, dispensable, insist
from nbcluster.commands import Adapt, GetView, Scale, StopAdapting, StopWorkers, WhoMayGo, Workers, validate
from nbcluster.deadlines import within
from nbcluster.errors import ClusterClosedError
from nbcluster.snapshot import ClusterView
from nbcluster.types import Status, WorkerName
from nbcluster.units import parse_seconds

if TYPE_CHECKING:
    from nbcluster.cluster.base import Cluster

logger = logging.getLogger("nbcluster.cluster")

A = TypeVar("A", bound="Adaptive")

LOG_LENGTH = 10_000


class Adaptive:
    """Adapts a cluster's number of workers to the work there is. ``cluster.adapt()`` makes one.

    It begins by itself, in place of whatever adapted the cluster before.

    Args:
        cluster: what to adapt.
        interval: seconds between decisions, or text like ``"500 ms"``.
        minimum: never fewer workers.
        maximum: never more; infinite or None: as many as the machine can hold.
        wait_count: shrink only after so many decisions in a row say so.
        target_duration: have so many workers that the known work takes about this long.
        worker_key: called with the views of workers, as ``cluster.workers`` has them; those for which it returns the
            same are closed together or not at all.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.

    Example:
        >>> import datetime
        >>> class AtNight(Adaptive):
        ...     async def target(self):
        ...         return 4 if datetime.datetime.now().hour < 6 else 1
        >>> adaptive = cluster.adapt(Adaptive=AtNight, maximum=4)
    """

    def __init__(
        self,
        cluster: Cluster,
        interval: float | str | None = None,
        minimum: int | None = None,
        maximum: float | None = None,
        wait_count: int | None = None,
        target_duration: float | str | None = None,
        worker_key: GroupOf | None = None,
    ) -> None:
        if not isinstance(cluster, Lifecycle):
            raise TypeError(f"cluster={cluster!r} is no cluster; give a LocalCluster or a SubprocessCluster")
        if worker_key is not None and not callable(worker_key):
            raise TypeError(f"worker_key={worker_key!r} is not a function of a worker")
        given: dict[str, Any] = {
            "interval": interval,
            "minimum": minimum,
            "maximum": maximum,
            "wait_count": wait_count,
            "target_duration": target_duration,
        }
        said = {name: value for name, value in given.items() if value is not None}
        with dask_settings.named(said, dask_settings.ADAPTIVE):
            options: dict[str, Any] = {**dask_settings.keywords_set(dask_settings.ADAPTIVE), **said}
            for name in ("interval", "target_duration"):
                if name in options:
                    options[name] = parse_seconds(options[name], name)
            if options.get("maximum") == float("inf"):
                del options["maximum"]
            self.options = Adapt(**options)
            validate(self.options)
        self.cluster = cluster
        self.worker_key = worker_key
        self.state = "starting"
        """``"starting"``, ``"running"`` or ``"stopped"``."""
        self.log: deque[tuple[float, dict[str, Any]]] = deque(maxlen=LOG_LENGTH)
        """What was decided, when (seconds since the epoch): ``status``, ``target`` or ``workers``, and ``reason``."""
        self.close_counts: dict[WorkerName, int] = {}
        """How many looks in a row would have closed these."""
        self._scaler: Scaler | None = None
        self._adapting = False
        self._begun: asyncio.Future[None] | None = None
        self._urged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        cluster.adapts_by(self)

    def __repr__(self) -> str:
        most = "inf" if self.maximum == float("inf") else self.maximum
        return f"<{type(self).__name__} of {self.cluster.name!r}: {self.state}, minimum={self.minimum}, maximum={most}>"

    @property
    def minimum(self) -> int:
        """Never fewer workers."""
        return self.options.minimum

    @property
    def maximum(self) -> float:
        """Never more."""
        return float("inf") if self.options.maximum is None else self.options.maximum

    @property
    def interval(self) -> float:
        """Seconds between decisions."""
        return self.options.interval

    @property
    def wait_count(self) -> int:
        """So many decisions in a row must want to shrink."""
        return self.options.wait_count

    @property
    def target_duration(self) -> float:
        """How long the known work should take; seconds."""
        return self.options.target_duration

    @property
    def plan(self) -> set[WorkerName]:
        """The workers that there should be."""
        return self.cluster.plan

    @property
    def requested(self) -> set[WorkerName]:
        """The workers that were started."""
        return self.cluster.requested

    @property
    def observed(self) -> set[WorkerName]:
        """The workers that are there."""
        return self.cluster.observed

    # --- to override ---

    async def target(self) -> int:
        """How many workers there should be, limits apart."""
        view = self.cluster.view
        if self._scaler is None:
            self._scaler = Scaler(self.options, view.capacity)
        return self._scaler.wanted(Load.of(view)).workers

    async def workers_to_close(self, target: int) -> list[WorkerName]:
        """Which of the workers that are there to close, so that ``target`` stay: those with least to do and to hold.

        Only those that the plugins of the scheduler let go.
        """
        there = [w for w in self.cluster.view.workers if w.address and w.status != Status.RETIRING]
        answer = await self.cluster.engine.call(WhoMayGo(names=[worker.name for worker in there]))
        assert isinstance(answer, Workers)
        return dispensable(there, target, self.worker_key, frozenset(answer.names))

    async def recommendations(self, target: int) -> dict[str, Any]:
        """What to do: ``{"status": "same"}``, or ``"up"`` with ``"n"``, or ``"down"`` with ``"workers"``."""
        plan = self.plan
        if target >= len(plan):
            self.close_counts = {}
            return {"status": "same"} if target == len(plan) else {"status": "up", "n": target}
        excess = len(plan) - target
        candidates = list(_newest_first(plan - self.observed))[:excess]
        if len(candidates) < excess:
            candidates += await self.workers_to_close(target)
        self.close_counts, firm = insist(self.close_counts, candidates, self.wait_count)
        return {"status": "down", "workers": firm} if firm else {"status": "same"}

    # --- deciding ---

    async def safe_target(self) -> int:
        """The target within the limits."""
        wanted = await self.target()
        return int(min(max(wanted, self.minimum), self.maximum))

    async def adapt(self) -> None:
        """Decide once, and do it. Does nothing while it is at it already."""
        if self._adapting:
            return
        self._adapting = True
        try:
            await self.cluster.engine.call(GetView())  # of a cluster elsewhere, the last view may be a second old
            target = await self.safe_target()
            decision = await self.recommendations(target)
            if decision["status"] != "same":
                await self._carry_out(target, **decision)
        finally:
            self._adapting = False

    async def _carry_out(self, target: int, status: str, **what: Any) -> None:
        if status not in ("up", "down"):
            raise ValueError(f"recommendations() returned status={status!r}; there are 'same', 'up' and 'down'")
        self.log.append((time.time(), {"status": status, **what, "target": target}))
        logger.info("Adapting from %d to %d workers: %s %s", len(self.plan), target, status, what)
        await (self.scale_up(**what) if status == "up" else self.scale_down(**what))

    async def scale_up(self, n: int) -> None:
        """Have ``n`` workers."""
        await self.cluster.engine.call(Scale(n=n))

    async def scale_down(self, workers: Collection[WorkerName]) -> None:
        """Have these workers no more; what they hold moves first."""
        if workers:
            await self.cluster.engine.call(StopWorkers(names=list(workers)))

    # --- life ---

    @property
    def decides(self) -> bool:
        """True if it is decided here, by what somebody has overridden or given, rather than where the cluster runs."""
        overridden = any(getattr(type(self), name) is not getattr(Adaptive, name) for name in _OVERRIDABLE)
        return overridden or self.worker_key is not None

    async def begin(self) -> None:
        """Begin; for the cluster, which ends what has adapted it before. On the cluster's event loop."""
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_future()
            try:
                await self._begin()
            except BaseException as error:
                self.state = "stopped"
                self._begun.set_exception(error)
            else:
                self._begun.set_result(None)
        await asyncio.shield(self._begun)

    async def _begin(self) -> None:
        if self.state != "starting":
            return
        self.state = "running"
        engine = self.cluster.engine
        if self.decides:
            await engine.call(StopAdapting())
            self._task = asyncio.get_running_loop().create_task(self._run())
        else:
            self._unsubscribe = engine.subscribe(self._watch, self.interval)
            await engine.call(self.options)

    def __await__(self: A) -> Generator[Any, None, A]:
        return self._when_begun().__await__()

    async def _when_begun(self: A) -> A:
        await self.begin()
        return self

    def hurry(self) -> None:
        """Look at once, rather than when the interval is over. From any thread."""
        self.cluster.loop.call_soon_threadsafe(self._urged.set)

    async def _run(self) -> None:
        """Look, again and again; not at once, for an object of a subclass may not be completely made yet."""
        while self.state == "running":
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._urged.wait(), self.interval)
            self._urged.clear()
            if self.cluster.status != Status.RUNNING:
                self.stop("the cluster does not run any more")
                return
            try:
                await self.adapt()
            except ClusterClosedError:
                self.stop("the cluster is closed")
            except Exception:  # the next look may succeed: a cluster that stops adapting is worse
                logger.exception("Adapting the cluster failed; it will be tried again")

    def _watch(self, view: ClusterView) -> None:
        """Take down what the cluster decides."""
        if view.adaptive is None:
            return
        entry = {"status": "same", "target": view.adaptive.target, "reason": view.adaptive.reason}
        planned = sum(worker.status != Status.RETIRING for worker in view.workers)
        if view.adaptive.target != planned:
            entry["status"] = "up" if view.adaptive.target > planned else "down"
        if not self.log or self.log[-1][1] != entry:
            self.log.append((view.time, entry))

    def stop(self, reason: str = "somebody stopped it") -> None:
        """Adapt no more; the workers stay. Idempotent. From any thread."""
        if self.state == "stopped":
            return
        asked = self.state == "running" and not self.decides and self.cluster.status == Status.RUNNING
        self.replaced(reason)
        if asked:
            self.cluster.soon(self._ask_to_stop)

    async def _ask_to_stop(self) -> None:
        try:
            await self.cluster.engine.call(StopAdapting())
        except ClusterClosedError:
            logger.debug("The cluster was closed before it could be told to adapt no more")

    def replaced(self, reason: str) -> None:
        """Something else says now how many workers there are."""
        if self.state == "stopped":
            return
        self.state = "stopped"
        logger.info("Adapting has stopped: %s", reason)
        self.cluster.soon(self._leave)

    async def _leave(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()


_OVERRIDABLE = (
    *("target", "recommendations", "workers_to_close", "safe_target", "adapt", "scale_up", "scale_down"),
    *("plan", "requested", "observed"),
)
"""What a subclass may decide otherwise."""


def _newest_first(names: Iterable[WorkerName]) -> list[WorkerName]:
    return sorted(names, key=lambda name: (isinstance(name, str), -name if isinstance(name, int) else 0))
