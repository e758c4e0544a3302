"""The clusters of one Jupyter server: made, found again, handed over, ended. No HTTP here, and no sockets.

Which cluster a cell gets
    A cell is known by its notebook (or its kernel, where there is no notebook), its id, and the ``name`` that
    it asks for. The same cell with the same keywords gets the same cluster; with other keywords, or in
    another interpreter, the old one is replaced, as soon as the new one runs. Anything else is another cluster.

How long a cluster stays
    As long as its notebook has a kernel. When that is gone the lease counts down, for all to see; a new
    kernel of the same notebook ends the countdown. The kernel of no notebook never comes back under the
    same id: no lease for that. A restart changes nothing. A cluster that is kept, or was made by hand,
    stays until somebody shuts it down.

Jupyter announces what happens to kernels, but not that a notebook was renamed, nor that a kernel died for
good. So what is announced only makes ``reconcile`` run at once, which compares owners with what there is;
else it runs every two seconds, as long as there is a cluster.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from traitlets import Float, Int, Unicode
from traitlets.config import LoggingConfigurable

from nbcluster.comm.tasks import TaskOwner
from nbcluster.commands import AnyAnswer, AnyCommand, within_limits
from nbcluster.engines import registry
from nbcluster.engines.registry import EngineSpec, Factory
from nbcluster.errors import ClusterError
from nbcluster.jupyter.cluster import NOBODY, ServerCluster
from nbcluster.jupyter.events import Action
from nbcluster.jupyter.models import NewCluster
from nbcluster.snapshot import ClusterView, OwnerView

SWEEP = 2.0
"""Seconds between two looks at what Jupyter does not announce."""


class KernelDirectory(Protocol):
    """What the manager asks about kernels."""

    def __contains__(self, kernel_id: object) -> bool:
        """Whether the kernel lives."""

    async def owners(self) -> dict[str, OwnerView]:
        """What each live kernel belongs to."""

    async def interpreter(self, kernel_name: str) -> tuple[str, dict[str, str]]:
        """The Python of an installed kernel, and the variables that it sets."""


class CellRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel asks for the cluster of one of its cells."""

    kernel_id: str
    cell: str
    """Names the cell within its notebook."""
    name: str | None
    digest: bytes
    """Of all keywords: equal if they are."""
    pickled_keywords: bytes
    executable: str
    cwd: str
    sys_path: list[str]
    environment: dict[str, str]


class _Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster was made for."""

    cell: str
    name: str | None
    digest: bytes
    executable: str


class ClusterManager(LoggingConfigurable):
    """Owns the clusters of one server."""

    engine = Unicode("native", help="The name of the engine that new clusters run on.").tag(config=True)
    lease = Float(
        600.0,
        min=0.0,
        help="For how many seconds a cluster stays when the kernel of its notebook is shut down. "
        "A new kernel of the same notebook finds it again.",
    ).tag(config=True)
    max_workers = Int(
        None,
        min=1,
        allow_none=True,
        help="How many workers one cluster may have; None: no limit but the machine.",
    ).tag(config=True)
    max_memory = Int(
        None,
        min=1,
        allow_none=True,
        help="How many bytes one cluster may use; None: what the machine grants.",
    ).tag(config=True)

    def __init__(
        self,
        *,
        kernels: KernelDirectory,
        on_event: Callable[[Action, ClusterView], None],
        dashboard_link: Callable[[str], str] = lambda cluster_id: "",
        root_dir: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._kernels = kernels
        self._on_event = on_event
        self._dashboard_link = dashboard_link
        self._root_dir = root_dir or os.getcwd()
        self._clusters: dict[str, ServerCluster] = {}
        self._cells: dict[str, _Cell] = {}
        self._tasks = TaskOwner("the clusters of the server")
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    # --- looking ----------------------------------------------------------------------------------

    def list_clusters(self) -> list[ClusterView]:
        """All clusters, oldest first."""
        return [cluster.view for cluster in self._clusters.values()]

    def get(self, cluster_id: str) -> ServerCluster:
        """One cluster.

        Raises:
            KeyError: there is none of this id.
        """
        return self._clusters[cluster_id]

    def busy_clusters(self) -> list[str]:
        """The ids of those that have work to do."""
        return [cluster.id for cluster in self._clusters.values() if cluster.busy]

    def dashboard_socket(self, cluster_id: str) -> str | None:
        """Where a cluster's dashboard listens; None if there is no such cluster, or no dashboard."""
        cluster = self._clusters.get(cluster_id)
        return (cluster.engine.dashboard_socket or None) if cluster is not None and cluster.usable else None

    # --- making and ending ------------------------------------------------------------------------

    async def new(self, request: NewCluster) -> ServerCluster:
        """Make a cluster that belongs to nobody, and begin to start it.

        Raises:
            ValueError, TypeError: a keyword is out of range, or the administrator does not allow it.
        """
        adapt = within_limits(request.adapt.command(), self.max_workers) if request.adapt else None
        self._check_size(request.n_workers)
        make = await asyncio.to_thread(registry.find, self.engine)
        executable: str | None = None
        variables: dict[str, str] = {}
        if request.kernel_name is not None:
            executable, variables = await self._kernels.interpreter(request.kernel_name)
        named = {
            "n_workers": request.n_workers,
            "threads_per_worker": request.threads_per_worker,
            "memory_limit": request.memory_limit,
        }
        folder = os.path.dirname(request.path.strip("/"))
        spec = self._spec(
            name=request.name,
            executable=executable,
            cwd=os.path.join(self._root_dir, *folder.split("/")),
            environment={**os.environ, **variables},
            keywords={key: value for key, value in named.items() if value is not None},
        )
        return self._start(make, spec, NOBODY, first=adapt)

    async def attach(self, request: CellRequest) -> ServerCluster:
        """Give a cell its cluster, and wait until that runs.

        Raises:
            LookupError: this server has no such kernel.
            ClusterError: it could not be started; says why.
            ValueError, TypeError: a keyword is out of range, or the administrator does not allow it.
        """
        make = await asyncio.to_thread(registry.find, self.engine)
        owners = await self._kernels.owners()
        # From here to the start nothing waits: two requests of one cell must not make two clusters.
        if request.kernel_id not in owners:
            raise LookupError(f"this server has no kernel {request.kernel_id}")
        owner = owners[request.kernel_id]
        wanted = _Cell(cell=request.cell, name=request.name, digest=request.digest, executable=request.executable)
        same = [each for each in self._of_cell(wanted, owner) if self._cells[each.id] == wanted and each.usable]
        if same:
            cluster = same[0]
            cluster.belongs_to(owner)
        else:
            cluster = self._start(make, self._spec_for(request), owner)
            self._cells[cluster.id] = wanted
        try:
            await cluster.started()
        except Exception:
            # The cell shows what is wrong. What it had before, it keeps.
            self._remove_soon(cluster)
            raise
        for other in self._of_cell(wanted, owner):
            if other is not cluster:
                self._remove_soon(other)
        return cluster

    async def remove(self, cluster_id: str, timeout: float = 10.0) -> None:
        """End a cluster and forget it.

        Raises:
            KeyError: there is none of this id.
        """
        cluster = self._clusters[cluster_id]
        await cluster.close(timeout)
        if self._clusters.pop(cluster_id, None) is not None:
            self._cells.pop(cluster_id, None)
            self._on_event(Action.REMOVED, cluster.view)

    async def close(self, timeout: float = 10.0) -> None:
        """End all clusters, all at the same time. Idempotent."""
        self._closed = True
        ending = [self.remove(cluster_id, timeout) for cluster_id in self._clusters]
        for result in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(result, Exception):
                self.log.error("A cluster did not close in good order", exc_info=result)
        await self._tasks.close()

    # --- changing ---------------------------------------------------------------------------------

    async def call(self, cluster_id: str, command: AnyCommand) -> AnyAnswer:
        """Carry out a command on one cluster; raises what ``ServerCluster.call`` does, and KeyError."""
        return await self._clusters[cluster_id].call(command)

    def change(self, cluster_id: str, name: str | None, keep: bool | None) -> ServerCluster:
        """Rename a cluster, or have it outlive its owner.

        Raises:
            KeyError: there is none of this id.
            ValueError: the name is empty.
        """
        cluster = self._clusters[cluster_id]
        if name is not None:
            if not name.strip():
                raise ValueError("the name is empty; give the cluster one that people can read")
            cluster.rename(name)
        if keep is not None:
            cluster.keep(keep, self._lease_of(cluster.home))
        return cluster

    # --- owners -----------------------------------------------------------------------------------

    async def reconcile(self) -> None:
        """Compare the owners of clusters with the kernels and notebooks that there are."""
        if not self._clusters:
            return
        owners = await self._kernels.owners()
        notebooks = {owner.path: owner for owner in owners.values() if owner.kind == "notebook"}
        for cluster in list(self._clusters.values()):
            owner = cluster.home
            if not owner.kernel_id:
                continue
            present = owners.get(owner.kernel_id) or notebooks.get(owner.path)
            if present is not None:
                cluster.belongs_to(present)
            else:
                cluster.owner_gone(self._lease_of(owner))

    def _lease_of(self, owner: OwnerView) -> float:
        return self.lease if owner.path else 0.0

    async def _sweep(self) -> None:
        while self._clusters:
            await asyncio.sleep(SWEEP)
            try:
                await self.reconcile()
            except Exception:
                # Session managers are replaceable: one that fails once must not end all leases for good.
                self.log.exception("The owners of clusters could not be compared with the kernels there are")

    # --- inside -----------------------------------------------------------------------------------

    def _of_cell(self, wanted: _Cell, owner: OwnerView) -> list[ServerCluster]:
        """The clusters of a cell, by the name that it asks for: one, or two while one replaces the other."""
        return [
            self._clusters[cluster_id]
            for cluster_id, made_for in self._cells.items()
            if (made_for.cell, made_for.name) == (wanted.cell, wanted.name)
            and _same_home(self._clusters[cluster_id].home, owner)
        ]

    def _spec_for(self, request: CellRequest) -> EngineSpec:
        return self._spec(
            name=request.name,
            executable=request.executable,
            cwd=request.cwd,
            sys_path=request.sys_path,
            environment=request.environment,
            pickled_keywords=request.pickled_keywords,
        )

    def _spec(self, name: str | None, executable: str | None, **rest: Any) -> EngineSpec:
        if self._closed:
            raise ClusterError("the Jupyter server is shutting down")
        cluster_id = secrets.token_hex(8)
        if executable is not None:
            rest["executable"] = executable
        if self.max_memory is not None:
            # The variable that says so everywhere: workers, and the programs that tasks start, see the same
            # limit.
            granted = int(rest["environment"].get("MEM_LIMIT") or self.max_memory)
            rest["environment"] = {
                **rest["environment"],
                "MEM_LIMIT": str(min(granted, self.max_memory)),
            }
        name = cluster_id[:8] if name is None else name
        return EngineSpec(id=cluster_id, name=name, max_workers=self.max_workers, **rest)

    def _start(
        self, make: Factory, spec: EngineSpec, owner: OwnerView, first: AnyCommand | None = None
    ) -> ServerCluster:
        cluster = ServerCluster(
            make(spec),
            spec,
            owner=owner,
            first=first,
            dashboard_link=self._dashboard_link(spec.id),
            max_workers=self.max_workers,
            on_change=self._changed,
            on_expired=self._remove_soon,
        )
        self._clusters[cluster.id] = cluster
        cluster.start()
        self._on_event(Action.CREATED, cluster.view)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = self._tasks.start(self._sweep(), "sweep")
        return cluster

    def _changed(self, cluster: ServerCluster) -> None:
        if cluster.id in self._clusters:
            self._on_event(Action.CHANGED, cluster.view)

    def _remove_soon(self, cluster: ServerCluster) -> None:
        if cluster.id in self._clusters and not self._closed:
            self._tasks.start(self.remove(cluster.id), f"remove {cluster.id}")

    def _check_size(self, n_workers: int | None) -> None:
        if n_workers is not None and self.max_workers is not None and n_workers > self.max_workers:
            limit = f"{self.max_workers} workers per cluster"
            raise ValueError(f"n_workers={n_workers} is more than the administrator allows: {limit}")


def _same_home(one: OwnerView, other: OwnerView) -> bool:
    """Whether two owners are the same notebook, or the same kernel of none."""
    if one.path or other.path:
        return one.path == other.path
    return one.kernel_id == other.kernel_id
