"""``LocalCluster``: scheduler and workers on this machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from nbcluster import dask_settings
from nbcluster.arguments import check_flag
from nbcluster.cluster.base import Cluster
from nbcluster.cluster.lifecycle import check_loop
from nbcluster.cluster.spec import DEFAULT_DASHBOARD, ClusterSpec, given, make_spec
from nbcluster.comm.security import Security, security_of_cluster
from nbcluster.engines.attached import attach_to_server
from nbcluster.engines.base import Engine
from nbcluster.engines.showing import show
from nbcluster.errors import NotOurServerError

logger = logging.getLogger("nbcluster.cluster")


class LocalCluster(Cluster):
    """A cluster on this machine.

    In a script, the scheduler runs in the background of this process, workers in processes of their own. In a
    notebook of a Jupyter server that has nbcluster, the server keeps the cluster: it survives a restart of the
    kernel, and running the cell again gives the same one.

    Args:
        name: what it is called; by default eight random digits.
        n_workers: how many workers; by default as many as suit the CPUs.
        threads_per_worker: threads of each.
        processes: False makes the workers threads of this process.
        host: where the scheduler listens: an address of this machine alone.
        scheduler_port: 0 takes any free port; 8786 is a common choice.
        silence_logs: level from which on log records go to stderr; None or False leaves logging alone.
        dashboard_address: ``":8787"`` (the default; the next free port if it is taken), ``":0"`` for a random
            port, None for no dashboard. Without a host it listens on loopback only.
        service_kwargs: ``{"dashboard": {"prefix": "/foo"}}`` puts the dashboard below ``/foo``.
        asynchronous: use it with ``await``.
        protocol: ``"tcp"`` or ``"inproc"``.
        interface: network interface to listen on, instead of ``host``.
        worker_class: ``Nanny`` makes the workers processes, ``Worker`` threads; subclasses of theirs are refused.
        scheduler_sync_interval: how often name and kind of the cluster are written into the scheduler's metadata, at
            ``"cluster-manager-info"``; seconds, or text like ``"500 ms"``.
        memory_limit: of each worker: ``"auto"`` splits the machine's memory evenly, a float is a fraction of it,
            an int or text such as ``"1GiB"`` is bytes, None or 0 is no limit.
        resources: what each worker offers to tasks that ask for it, e.g. ``{"GPU": 1}``.
        local_directory: where workers put results that they have no room for in memory; None is a disk for temporary
            files. Nothing is left there.
        env: environment variables for the workers.

    What is left out may be set in dask's configuration: see ``nbcluster.dask_settings``.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
        ClusterError: it could not be started; says why.

    Example:
        >>> with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        ...     len(cluster.workers)
        2
    """

    renderer = staticmethod(show)

    def __init__(
        self,
        name: str | None = None,
        n_workers: int | None = None,
        threads_per_worker: int | None = None,
        processes: bool | None = None,
        loop: Any = None,
        start: bool | None = None,
        host: str | None = None,
        ip: str | None = None,
        scheduler_port: int = 0,
        silence_logs: int | str | bool | None = logging.WARNING,
        dashboard_address: Any = DEFAULT_DASHBOARD,
        worker_dashboard_address: Any = None,
        diagnostics_port: Any = None,
        services: Mapping[Any, Any] | None = None,
        worker_services: Mapping[Any, Any] | None = None,
        service_kwargs: Mapping[str, Any] | None = None,
        asynchronous: bool = False,
        security: Security | bool | None = None,
        protocol: str | None = None,
        blocked_handlers: Sequence[str] | None = None,
        interface: str | None = None,
        worker_class: type | None = None,
        scheduler_kwargs: Mapping[str, Any] | None = None,
        scheduler_sync_interval: float | str = 1,
        **worker_kwargs: Any,
    ) -> None:
        said = given(LocalCluster.__init__, locals(), worker_kwargs)
        check_loop(loop, check_flag("asynchronous", asynchronous))
        keywords = dask_settings.of_cluster(said)
        own = {**keywords, "security": security_of_cluster(security)}
        with dask_settings.named(said):
            spec = make_spec(**own)
        engine = None if asynchronous else attach_to_server(keywords)
        self.owned_by_server = engine is not None
        if engine is not None:
            kept = None if security is True else own["security"]
            try:
                super().__init__(engine, spec.name, security=kept)
            except NotOurServerError as error:
                logger.info("This kernel has a cluster of its own: %s", error)
                self.owned_by_server = False
            else:
                self.name = engine.name
                return
        super().__init__(_engine_here(spec), spec.name, asynchronous=asynchronous, security=own["security"])

    @property
    def scheduler(self) -> Any:
        """The scheduler in this process, to be looked at: ``address``, ``workers``, ``tasks``, as plugins see it.

        Raises:
            AttributeError: there is none here: the cluster has not started, or a Jupyter server keeps it.
        """
        found = getattr(self._engine, "scheduler", None)
        if found is None:
            raise AttributeError(f"{self!r} has no scheduler in this process; see scheduler_info and scheduler_address")
        return found


def _engine_here(spec: ClusterSpec) -> Engine:
    from nbcluster.engines.in_process import InProcessEngine  # not for those whose cluster a server keeps

    return InProcessEngine(spec)
