"""``SubprocessCluster``: everything in processes of its own, the scheduler too."""

from __future__ import annotations

from typing import Any

from nbcluster.cluster.base import Cluster
from nbcluster.cluster.spec import make_spec
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
        name: str | None = None,
        n_workers: int | None = None,
        threads_per_worker: int | None = None,
        *,
        asynchronous: bool = False,
        loop: Any = None,
        **kwargs: Any,
    ) -> None:
        spec = make_spec(name=name, n_workers=n_workers, threads_per_worker=threads_per_worker, **kwargs)
        if spec.in_process:
            raise ValueError("a SubprocessCluster runs in processes: processes=False is for LocalCluster")
        super().__init__(ProcessEngine(spec), spec.name, asynchronous=asynchronous)
