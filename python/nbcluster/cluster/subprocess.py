"""``SubprocessCluster``: everything in processes of its own, the scheduler too."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from nbcluster import dask_settings
from nbcluster.arguments import check_flag
from nbcluster.cluster.base import Cluster
from nbcluster.cluster.lifecycle import check_loop
from nbcluster.cluster.spec import DEFAULT_DASHBOARD, given, make_spec, with_worker_kwargs
from nbcluster.comm.security import Security, security_of_cluster
from nbcluster.engines.native import ProcessEngine
from nbcluster.engines.showing import show


class SubprocessCluster(Cluster):
    """A cluster whose scheduler runs in a process of its own: a busy main thread does not slow it down.

    It takes the keywords of ``LocalCluster``, and ends with this process, however that ends.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
        ClusterError: it could not be started; says why.

    Example:
        >>> with SubprocessCluster(n_workers=2, dashboard_address=None) as cluster:
        ...     len(cluster.workers)
        2
    """

    renderer = staticmethod(show)

    def __init__(
        self,
        host: str | None = None,
        scheduler_port: int = 0,
        scheduler_kwargs: Mapping[str, Any] | None = None,
        dashboard_address: Any = DEFAULT_DASHBOARD,
        worker_class: type | None = None,
        n_workers: int | None = None,
        threads_per_worker: int | None = None,
        worker_kwargs: Mapping[str, Any] | None = None,
        silence_logs: int | str | bool | None = logging.WARNING,
        *,
        name: str | None = None,
        asynchronous: bool = False,
        loop: Any = None,
        security: Security | bool | None = None,
        **kwargs: Any,
    ) -> None:
        said = given(SubprocessCluster.__init__, locals(), with_worker_kwargs(worker_kwargs, kwargs))
        check_loop(loop, check_flag("asynchronous", asynchronous))
        keywords = {**dask_settings.of_cluster(said), "security": security_of_cluster(security)}
        with dask_settings.named(said):
            spec = replace(make_spec(**keywords), kind="nbcluster.SubprocessCluster")
        if spec.in_process:
            raise ValueError("a SubprocessCluster runs in processes: processes=False is for LocalCluster")
        super().__init__(ProcessEngine(spec), spec.name, asynchronous=asynchronous, security=keywords["security"])
