"""``Adaptive``: what ``cluster.adapt()`` returns, and what a policy of one's own derives from.

nothing overridden      the cluster decides where it runs, by ``cluster.scaling``; this object watches. It goes on
                        when the notebook that began it has ended.
something overridden    this object decides, on the event loop of the cluster object, again and again:

    target() ─▶ within minimum and maximum ─▶ recommendations() ─▶ same
                                                   │             ├▶ up    ─▶ scale_up(n)
                      workers_to_close(target) ◀───┘             └▶ down  ─▶ scale_down(names)
                      and only those that ``wait_count`` looks in a row name
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Generator
from typing import TYPE_CHECKING, Any

from nbcluster.cluster.scaling import Load, Scaler
from nbcluster.commands import Adapt, Scale, StopAdapting, StopWorkers, validate
from nbcluster.errors import ClusterClosedError
from nbcluster.snapshot import ClusterView
from nbcluster.types import Status, WorkerName
from nbcluster.units import parse_seconds

if TYPE_CHECKING:
    from nbcluster.cluster.base import Cluster

logger = logging.getLogger("nbcluster.cluster")

LOG_LENGTH = 10_000


class Adaptive:
    """Adapts a cluster's number of workers to the work there is. ``cluster.adapt()`` makes one.

    Args:
        cluster: what to adapt.
        interval: seconds between decisions, or text like ``"500 ms"``.
        minimum: never fewer workers.
        maximum: never more; infinite or None: as many as the machine can hold.
        wait_count: shrink only after so many decisions in a row say so.
        target_duration: have so many workers that the known work takes about this long.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.

    Example:
        >>> class AtNight(Adaptive):
        ...     async def target(self):
        ...         return 4 if is_night() else 1
        >>> cluster.adapt(Adaptive=AtNight, maximum=4)
    """

    def __init__(
        self,
        cluster: Cluster,
        interval: float | str | None = None,
        minimum: int | None = None,
        maximum: float | None = None,
        wait_count: int | None = None,
        target_duration: float | str | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "minimum": minimum,
            "maximum": None if maximum == float("inf") else maximum,
            "interval": None if interval is None else parse_seconds(interval, "interval"),
            "wait_count": wait_count,
            "target_duration": None if target_duration is None else parse_seconds(target_duration, "target_duration"),
        }
        self.options = Adapt(**{name: value for name, value in given.items() if value is not None})
        validate(self.options)
        self.cluster = cluster
        self.state = "starting"
        """``"starting"``, ``"running"`` or ``"stopped"``."""
        self.log: deque[tuple[float, dict[str, Any]]] = deque(maxlen=LOG_LENGTH)
        """What was decided, when (seconds since the epoch): ``status``, ``target`` or ``workers``, and ``reason``."""
        self.close_counts: dict[WorkerName, int] = {}
        """How many looks in a row would have closed these."""
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

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
        return Scaler(self.options, view.capacity).wanted(_load(view)).workers

    async def workers_to_close(self, target: int) -> list[WorkerName]:
        """Which workers to close, so that ``target`` stay: those that have least to do, the newest first."""
        views = [worker for worker in self.cluster.view.workers if worker.status != Status.RETIRING]
        least = sorted(views, key=lambda w: (w.processing, -w.name if isinstance(w.name, int) else 0))
        return [worker.name for worker in least[: max(0, len(views) - target)]]

    async def recommendations(self, target: int) -> dict[str, Any]:
        """What to do: ``{"status": "same"}``, or ``"up"`` with ``"n"``, or ``"down"`` with ``"workers"``."""
        plan = self.plan
        if target == len(plan):
            self.close_counts.clear()
            return {"status": "same"}
        if target > len(plan):
            self.close_counts.clear()
            return {"status": "up", "n": target}
        candidates = await self.workers_to_close(target)
        self.close_counts = {name: self.close_counts.get(name, 0) + 1 for name in candidates}
        firmly = [name for name, count in self.close_counts.items() if count >= self.wait_count]
        for name in firmly:
            del self.close_counts[name]
        return {"status": "down", "workers": firmly} if firmly else {"status": "same"}

    # --- deciding ---

    async def safe_target(self) -> int:
        """The target within the limits."""
        wanted = await self.target()
        return int(min(max(wanted, self.minimum), self.maximum))

    async def adapt(self) -> None:
        """Decide once, and do it."""
        target = await self.safe_target()
        decision = await self.recommendations(target)
        if decision["status"] == "same":
            return
        self.log.append((time.time(), {**decision, "target": target}))
        logger.info("Adapting from %d workers: %s", len(self.plan), decision)
        if decision["status"] == "up":
            await self.scale_up(decision["n"])
        else:
            await self.scale_down(decision["workers"])

    async def scale_up(self, n: int) -> None:
        """Have ``n`` workers."""
        await self.cluster.engine.call(Scale(n=n))

    async def scale_down(self, workers: Collection[WorkerName]) -> None:
        """Have these workers no more; what they hold moves first."""
        await self.cluster.engine.call(StopWorkers(names=list(workers)))

    # --- life ---

    @property
    def decides(self) -> bool:
        """True if a class of one's own decides here, rather than the cluster where it runs."""
        own = ("target", "workers_to_close", "recommendations", "safe_target", "adapt", "scale_up", "scale_down")
        return any(getattr(type(self), name) is not getattr(Adaptive, name) for name in own)

    async def start(self) -> Adaptive:
        """Begin, in place of whatever adapted the cluster before. On the cluster's event loop."""
        if self.state != "starting":
            return self
        self.state = "running"
        engine = self.cluster.engine
        if self.decides:
            await engine.call(StopAdapting())
            self._task = asyncio.get_running_loop().create_task(self._run())
        else:
            self._unsubscribe = engine.subscribe(self._watch, self.interval)
            await engine.call(self.options)
        return self

    def __await__(self) -> Generator[Any, None, Adaptive]:
        return self._begun().__await__()

    async def _begun(self) -> Adaptive:
        return await self.start()

    async def _run(self) -> None:
        while self.state == "running":
            if self.cluster.status != Status.RUNNING:
                self.stop("the cluster does not run any more")
                return
            try:
                await self.adapt()
            except ClusterClosedError:
                self.stop("the cluster is closed")
            except Exception:  # the next look may succeed: a cluster that stops adapting is worse
                logger.exception("Adapting the cluster failed; it will be tried again")
            await asyncio.sleep(self.interval)

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


def _load(view: ClusterView) -> Load:
    tasks, workers = view.tasks, view.workers
    limits = [worker.memory_limit for worker in workers]
    return Load(
        workers=view.requested,
        threads=view.threads_per_worker,
        occupancy=view.occupancy,
        running=tasks.processing,
        waiting=tasks.queued if workers else tasks.queued + tasks.no_worker,
        done=tasks.done,
        kept=tasks.memory,
        stored=sum(worker.stored for worker in workers) + view.shared,
        memory=None if None in limits else sum(limit or 0 for limit in limits),
    )
