"""Telling clients how tasks are computed."""

from __future__ import annotations

from nbcluster.protocol.messages import CallFailed
from nbcluster.protocol.recreation import DescribeTask, TaskDescribed
from nbcluster.scheduler.outbox import Outbox
from nbcluster.scheduler.state import ERRED, SchedClient, SchedulerState


class Recreation:
    """The handler of ``DescribeTask``."""

    def __init__(self, state: SchedulerState, outbox: Outbox) -> None:
        self._state = state
        self._outbox = outbox

    def describe(self, client: SchedClient, message: DescribeTask) -> None:
        """Say how a task is computed."""
        task = self._state.tasks.get(message.key)
        if task is not None and message.blamed and task.state == ERRED:
            task = self._state.tasks.get(task.blamed)
        if task is None or task.function is None:
            why = f"no task computes {message.key!r}: it was scattered, or nobody holds a future for it any more"
            self._outbox.to_client(client, CallFailed(message.request, "ValueError", why))
            return
        described = TaskDescribed(
            message.request,
            task.key,
            self._state.functions[task.function].definition,
            task.data,
            list(task.frames),
            [dependency.key for dependency in task.dependencies],
        )
        self._outbox.to_client(client, described)
