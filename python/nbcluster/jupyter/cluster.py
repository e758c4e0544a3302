"""One cluster of the server: an engine, on whose behalf it runs, and how it looks from here.

The engine knows its workers and tasks. The server knows the rest: which notebook the cluster belongs to,
whether that is still open, when the lease ends, and under which address a browser finds the dashboard.

    starting ──▶ running ──▶ closing ──▶ closed
        └────▶ failed ◀───┘     ▲
                  └─────────────┘
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from msgspec.structs import replace

from nbcluster.commands import AnyAnswer, AnyCommand, GetLogs, SetOwner, validate, within_limits
from nbcluster.engines.base import Engine
from nbcluster.engines.registry import EngineSpec
from nbcluster.errors import ClusterClosedError, ClusterError
from nbcluster.snapshot import ClusterView, OwnerView
from nbcluster.types import Status

ENDED = (Status.CLOSING, Status.CLOSED, Status.FAILED)
NOBODY = OwnerView(kind="none")

logger = logging.getLogger(__name__)


class StillStartingError(ClusterError):
    """The cluster cannot do this before it runs."""


class ServerCluster:
    """A cluster that the server owns.

    Args:
        engine: what runs it; not started yet.
        spec: what the engine was made from.
        owner: on whose behalf.
        first: what to tell it as soon as it runs.
        dashboard_link: where a browser finds its dashboard.
        max_workers: what the administrator allows.
        on_change: called when its view changed.
        on_expired: called when nobody wants it any longer.
    """

    def __init__(
        self,
        engine: Engine,
        spec: EngineSpec,
        *,
        owner: OwnerView = NOBODY,
        first: AnyCommand | None = None,
        dashboard_link: str = "",
        max_workers: int | None = None,
        on_change: Callable[[ServerCluster], None],
        on_expired: Callable[[ServerCluster], None],
    ) -> None:
        self.id = spec.id
        self.name = spec.name
        self.spec = spec
        self.engine = engine
        self.kept = False
        self._owner = owner
        self._dashboard_link = dashboard_link
        self._max_workers = max_workers
        self._on_change = on_change
        self._on_expired = on_expired
        self._first = first
        self._failure: Exception | None = None
        self._runs = False
        self._lease: asyncio.TimerHandle | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._start: asyncio.Task[None] | None = None
        self._close: asyncio.Task[None] | None = None
        self._told: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<ServerCluster {self.id} {self.name!r} {self.status} owner={self._owner.kind}>"

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        if self._close is not None:
            return Status.CLOSED if self._close.done() else Status.CLOSING
        return Status.FAILED if self._failure is not None else self.engine.status

    @property
    def usable(self) -> bool:
        """True as long as it works or is about to."""
        return self.status not in ENDED

    @property
    def busy(self) -> bool:
        """True while it has work to do."""
        tasks = self.engine.view.tasks
        return self.usable and tasks.processing + tasks.queued > 0

    @property
    def owner(self) -> OwnerView:
        """On whose behalf it runs."""
        if self.kept:
            return replace(self._owner, kind="none", lease=None)
        return self._owner

    @property
    def home(self) -> OwnerView:
        """Where it came from, even if it is kept for nobody in particular."""
        return self._owner

    @property
    def view(self) -> ClusterView:
        """How it looks from here."""
        view = self.engine.view
        limit = self._max_workers
        return replace(
            view,
            id=self.id,
            name=self.name,
            status=self.status,
            message=view.message if self._failure is None else str(self._failure),
            owner=self.owner,
            dashboard_link=self._dashboard_link if self.status is Status.RUNNING else "",
            capacity=view.capacity if limit is None else min(view.capacity, limit),
        )

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to start; returns at once."""
        self._unsubscribe = self.engine.subscribe(self._on_view)
        self._start = asyncio.create_task(self._run_start(), name=f"start {self.id}")

    async def started(self) -> None:
        """Wait until it runs.

        Raises:
            ClusterError: it could not be started; says why.
            ValueError, TypeError: because of this argument.
        """
        if self._start is None:
            raise ClusterError(f"cluster {self.name!r} was not started")
        await asyncio.wait([self._start])
        if self._failure is not None:
            raise self._failure
        if not self.usable:
            raise ClusterClosedError(f"cluster {self.name!r} was shut down while it started")

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Carry out a command, within the administrator's limits.

        Raises:
            ValueError, TypeError: an argument is out of range.
            StillStartingError: not now, but soon.
            ClusterClosedError: never again.
        """
        command = within_limits(command, self._max_workers)
        if self.status in ENDED:
            raise ClusterClosedError(f"cluster {self.name!r} is {self.status}")
        if not self._runs:
            raise StillStartingError(f"cluster {self.name!r} is still starting; try again when it is running")
        return await self.engine.call(command)

    async def logs(self, command: GetLogs) -> AnyAnswer:
        """Read the log: possible at any time, and most wanted when it did not start."""
        validate(command)
        return await self.engine.call(command)

    async def close(self, timeout: float = 10.0) -> None:
        """End it, and wait for its end. Idempotent."""
        if self._close is None:
            self._close = asyncio.create_task(self._run_close(timeout), name=f"close {self.id}")
            self._on_change(self)
        # Whoever waits may go away; the end that it asked for comes nevertheless.
        await asyncio.shield(self._close)

    async def _run_start(self) -> None:
        try:
            await self.engine.start()
            if self._first is not None:
                await self.engine.call(self._first)
        except (ClusterError, ValueError, TypeError) as error:
            self._fail(error)
        except Exception as error:
            # An engine may come from anybody: what it raises is shown to the user, and must not hang the
            # one who waits.
            logger.exception("The engine of cluster %s broke while it started", self.id)
            self._fail(ClusterError(f"{type(error).__name__}: {error}"))
        else:
            self._runs = True
            self._changed_owner()

    async def _run_close(self, timeout: float) -> None:
        self._end_lease()
        if self._start is not None and not self._start.done():
            self._start.cancel()
            await asyncio.wait([self._start])
        if self._told is not None:
            self._told.cancel()
        if self._unsubscribe is not None:
            self._unsubscribe()
        await self.engine.close(timeout)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._on_change(self)

    def _on_view(self, view: ClusterView) -> None:
        if self._close is not None:
            return
        if view.status is Status.FAILED and self._runs and self._failure is None:
            self._failure = ClusterError(view.message or "the cluster's process ended unexpectedly")
        self._on_change(self)
        if view.status is Status.CLOSED:
            # A client of it shut it down: that is as good as here.
            self._on_expired(self)

    # --- ownership --------------------------------------------------------------------------------

    def belongs_to(self, owner: OwnerView) -> None:
        """Its owner is there, perhaps under another name than before: no countdown."""
        self._end_lease()
        self._set_owner(replace(owner, alive=True, lease=None))

    def owner_gone(self, lease: float) -> None:
        """Its owner is gone: it ends in ``lease`` seconds, unless that comes back or somebody keeps it."""
        if not self._owner.alive and (self._lease is not None or self.kept):
            return
        self._end_lease()
        end = None
        if not self.kept:
            self._lease = asyncio.get_running_loop().call_later(lease, self._on_expired, self)
            end = time.time() + lease
        self._set_owner(replace(self._owner, alive=False, lease=end))

    def keep(self, kept: bool, lease: float) -> None:
        """Let it outlive its owner, or not."""
        if kept == self.kept:
            return
        self.kept = kept
        self._end_lease()
        self._owner = replace(self._owner, lease=None)
        if self._owner.alive or kept:
            self._changed_owner()
        else:
            self.owner_gone(lease)

    def rename(self, name: str) -> None:
        """Change what lists and cards call it."""
        self.name = name
        self._on_change(self)

    def _end_lease(self) -> None:
        if self._lease is not None:
            self._lease.cancel()
            self._lease = None

    def _set_owner(self, owner: OwnerView) -> None:
        if owner != self._owner:
            self._owner = owner
            self._changed_owner()

    def _changed_owner(self) -> None:
        self._tell_owner()
        self._on_change(self)

    def _tell_owner(self) -> None:
        """The cluster's own views name the owner too: those that its clients see."""
        if not (self._runs and self.usable):
            return
        if self._told is not None:
            self._told.cancel()
        self._told = asyncio.create_task(self._run_tell(SetOwner(owner=self.owner)), name=f"owner {self.id}")

    async def _run_tell(self, command: SetOwner) -> None:
        try:
            await self.engine.call(command)
        except ClusterError as error:
            logger.info("Cluster %s could not be told its owner: %s", self.id, error)
