"""Functions that clients run in the scheduler itself. Only for them and for plugins it unpickles anything.

They run on its event loop, so what they see does not change under them; while one computes, the scheduler waits.
``blocked_handlers=['run_function']`` refuses them.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from nbcluster.comm.tasks import TaskOwner
from nbcluster.protocol.calling import SideCall, raised, returned
from nbcluster.protocol.running import CallOutcome, RunOnScheduler
from nbcluster.scheduler.facade import SchedulerFacade


class SchedulerCalls:
    """Makes calls with the scheduler at hand."""

    def __init__(self, facade: SchedulerFacade) -> None:
        self._facade = facade
        self._owner: TaskOwner | None = None

    async def make(self, message: RunOnScheduler) -> CallOutcome:
        """Make one; the outcome is of the call, or that it has begun."""
        try:
            side_call = SideCall(message.call, {"dask_scheduler": self._facade})
            value = side_call.make()
            if inspect.isawaitable(value):
                if not message.wait:
                    self._later(value)
                    return returned(None)
                value = await value
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # SystemExit too is the function's affair
            return raised(error)
        return returned(value if message.wait else None)

    def _later(self, value: Any) -> None:
        if self._owner is None:
            self._owner = TaskOwner("functions in the scheduler")
        self._owner.start(_awaited(value), "a function that nobody waits for")

    async def close(self) -> None:
        """Cancel those that nobody waits for. Idempotent."""
        if self._owner is not None:
            await self._owner.close()


async def _awaited(value: Any) -> Any:
    return await value
