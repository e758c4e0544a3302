"""The results that the scheduler has at hand itself: small ones, and what tells where others are in shared memory."""

from __future__ import annotations

from collections import deque

from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.state import SchedTask, SchedulerState


class Payloads:
    """Keeps them within a budget: the oldest are dropped, as long as somebody else holds the data."""

    def __init__(self, state: SchedulerState) -> None:
        self._state = state

    def keep(self, task: SchedTask, payload: Payload) -> None:
        """Have a result at hand for all who need it. ``make_room`` when all are there that come with it."""
        state = self._state
        task.payload = payload
        state.inlined.append(task)
        state.inlined_count += 1
        state.inlined_bytes += payload.sent_nbytes if payload.frames else len(payload.data)

    def make_room(self) -> None:
        """Keep to the budget."""
        state = self._state
        while state.inlined_bytes > state.settings.inline_budget and state.inlined:
            oldest = state.inlined.popleft()
            # What is shared costs nothing, and workers that were told of it rely on us.
            if oldest.payload is not None and oldest.who_has and not oldest.payload.is_shared:
                self.drop(oldest)

    def drop(self, *tasks: SchedTask) -> None:
        """Have the results of tasks no longer at hand, if they are."""
        count = nbytes = 0
        for task in tasks:
            payload = task.payload
            if payload is not None:
                count += 1
                nbytes += payload.sent_nbytes if payload.frames else len(payload.data)
                task.payload = None
        self._state.inlined_count -= count
        self._state.inlined_bytes -= nbytes

    def pass_over_dropped(self) -> None:
        """Let go of those that are not at hand any more: now, not when the next one comes, which would wait for it.

        Most are dropped in the order in which they came, or in the opposite one.
        """
        state = self._state
        inlined = state.inlined
        while inlined and inlined[0].payload is None:
            inlined.popleft()
        while inlined and inlined[-1].payload is None:
            inlined.pop()
        if len(inlined) > 2 * state.inlined_count + 1000:  # more than half of them are gone
            state.inlined = deque(kept for kept in inlined if kept.payload is not None)
