"""Running a task of the cluster's in this process, to look at it with a debugger."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Mapping
from typing import Any

from nbcluster.client.data import DataClient
from nbcluster.client.future import Future
from nbcluster.client.gathering import find_futures, with_parts
from nbcluster.client.states import ERROR
from nbcluster.protocol.messages import WantKeys
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.recreation import DescribeTask, TaskDescribed
from nbcluster.protocol.serialize import load, load_call, load_function
from nbcluster.types import Key


class RecreatingClient(DataClient):
    """Brings tasks home."""

    def recreate_task_locally(self, future: Future) -> Any:
        """Run a future's task again, here: with breakpoints, prints and a profiler.

        Its arguments are fetched from the cluster; what is not there any more is computed there again.

        Args:
            future: of a task, whether it finished or erred.

        Returns:
            What the task returns.

        Raises:
            ValueError: it was scattered: there is no task.
            Exception: what the task raises, here.

        Example:
            >>> client.recreate_task_locally(client.submit(pow, 2, 10))
            1024
        """
        return self._recreate(future, blamed=False)

    def recreate_error_locally(self, future: Any) -> Any:
        """Run the task that is to blame for an error again, here: that future's own, or one that it depends on.

        Use it with ``%debug`` or ``pdb``: the traceback is that of this process.

        Args:
            future: of a task that erred, or a persisted collection; it is waited for.

        Raises:
            ValueError: it did not err.
            Exception: what the task raises, here.
        """
        return self._recreate(future, blamed=True)

    def _recreate(self, future: Any, blamed: bool) -> Any:
        futures = find_futures(with_parts(future)) if blamed else [future]
        if not futures or not isinstance(futures[0], Future):
            raise TypeError(f"future={future!r} is not a Future")
        self._check_mine(futures)
        return self._sync(self._describe, futures, blamed, then=_run)

    async def _describe(self, futures: list[Future], blamed: bool) -> tuple[TaskDescribed, Mapping[Key, Payload]]:
        """How a task is computed, and from what."""
        future = futures[0]
        if blamed:
            await self._wait_for([one._state for one in futures], stop_early=True)
            erred = [one for one in futures if one.status == ERROR]
            if not erred:
                raise ValueError(f"{future!r} did not err; recreate_task_locally() runs the task of any future")
            future = erred[0]
        described: TaskDescribed = await self._session.ask(lambda number: DescribeTask(number, future.key, blamed))
        keys = described.dependencies
        context = contextvars.copy_context()
        states = self._session.wants.add(keys, context, WantKeys(keys) if keys else None)
        payloads = await self._collect(states, True)
        for state in states:
            error = state.exception()
            if error is not None:
                raise error
        return described, payloads


def _run(task: tuple[TaskDescribed, Mapping[Key, Payload]]) -> Any:
    described, payloads = task
    function = load_function(described.function)
    values = {key: load(payload) for key, payload in payloads.items()}
    args, kwargs = load_call(described.data, described.frames, values)
    value = function(*args, **kwargs)
    return asyncio.run(value) if isinstance(value, Coroutine) else value
