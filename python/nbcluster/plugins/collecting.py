"""Collects in the scheduler how the tasks end that are submitted meanwhile: for ``get_task_metadata``."""

from __future__ import annotations

import uuid
from typing import Any

from nbcluster.plugins.base import SchedulerPlugin

_ENDS = ("memory", "erred")


class CollectStates(SchedulerPlugin):
    """Notes how tasks end, if they are submitted once this is registered."""

    def __init__(self) -> None:
        self.name = f"task-metadata-{uuid.uuid4()}"
        self._awaited: set[str] = set()
        self.states: dict[str, str] = {}

    def start(self, scheduler: Any) -> None:
        """Be found by :func:`collected`."""
        setattr(scheduler, self.name, self)

    def update_graph(self, scheduler: Any, *, keys: set[str], **kwargs: Any) -> None:
        """These are to be looked at."""
        self._awaited |= keys

    def transition(self, key: str, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Note an end."""
        if finish in _ENDS and key in self._awaited:
            self._awaited.discard(key)
            self.states[key] = finish


def collected(name: str, dask_scheduler: Any) -> dict[str, str]:
    """Run in the scheduler: take out what the collector of this name has noted."""
    collector: CollectStates = vars(dask_scheduler).pop(name)
    return collector.states
