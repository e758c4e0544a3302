"""Clusters within tasks of clusters: so many levels, and no more."""

from __future__ import annotations

import os

from nbcluster.errors import ClusterError

MOST_LEVELS = 10
"""A task that starts a cluster whose tasks start clusters, and so on, would otherwise take the machine down."""


def next_level() -> int:
    """The level of a cluster that is started here: 1 outside tasks.

    Raises:
        ClusterError: it would be one too many.
    """
    from nbcluster.worker import context  # a worker's: most who start clusters are none

    inherited = os.environ.get(context.LEVEL_VARIABLE, "")
    worker = context.current_worker()
    level = max(int(inherited) if inherited.isdecimal() else 0, 0 if worker is None else worker.level)
    if level >= MOST_LEVELS:
        raise ClusterError(
            f"This task runs on a cluster within {level - 1} others, and clusters are nested at most {MOST_LEVELS} "
            "deep. Use get_client() to submit tasks to the cluster that is there."
        )
    return level + 1
