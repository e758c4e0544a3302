"""Why is a future not done? ``client.explain``, and the sentence that a timeout carries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice

from msgspec.structs import replace

from nbcluster.arguments import check_text
from nbcluster.client.connected import ConnectedClient
from nbcluster.client.explanation import Explanation
from nbcluster.client.future import Future
from nbcluster.client.states import CANCELLED, ERROR, FutureState
from nbcluster.deadlines import within
from nbcluster.errors import BlockedHandlerError, ClosedClientError, CommError, TimeoutError
from nbcluster.protocol import explanation as why
from nbcluster.protocol.explanation import Situation
from nbcluster.protocol.inspection import AskWhy, AskWorkers, LookAtRuns, Runs, RunSight, Sights
from nbcluster.types import Address, Key

_PATIENCE = 3.0
"""Seconds that workers have to say what their threads do."""
_BRIEF = 1.0
"""Seconds that a timeout takes longer, at most, to say why."""


class ExplainingClient(ConnectedClient):
    """Says why things are not done."""

    def explain(self, future: Future | Key) -> object:
        """Say why a future is not done.

        Which results it waits for, and what those wait for in the end; whether there is a worker that may run it, and
        has the resources; how many tasks come first; where it has been running, since when, and where in the code it
        is; how often it was retried or lost its worker; why it failed or was cancelled.

        Args:
            future: a future of this client, or a key.

        Returns:
            An :class:`~nbcluster.client.explanation.Explanation`; with an asynchronous client: a coroutine of it.

        Raises:
            TypeError: it is neither a future nor a key.

        Example:
            >>> future = client.submit(abs, -1, resources={"GPU": 1})
            >>> print(client.explain(future).reason)
            no such resource
        """
        if isinstance(future, Future):
            return self._sync(self._explain, future.key, future._state)
        if isinstance(future, str):
            check_text("future", future)
            return self._sync(self._explain, future, None)
        raise TypeError(f"future={future!r} is neither a future nor a key; give one of them")

    async def _explain(self, key: Key, state: FutureState | None, patience: float = _PATIENCE) -> Explanation:
        if state is not None and state.status == CANCELLED:
            return Explanation(why.Explanation(Situation(key, why.CANCELLED, detail=state.msg or state.reason)))
        said = await self._session.inspect(AskWhy(key))
        assert isinstance(said, why.Explanation)
        if state is not None and state.status == ERROR:
            error = state.exception()
            detail = said.situation.detail if error is None else f"{type(error).__name__}: {error}"
            return Explanation(replace(said, situation=replace(said.situation, reason=why.ERRED, detail=detail)))
        assigned = [one for one in [said.situation, *said.roots] if one.reason == why.ASSIGNED]
        if not assigned:
            return Explanation(said)
        sights = await self._look_at(assigned, patience)
        said = replace(
            said, situation=_seen(said.situation, sights), roots=[_seen(root, sights) for root in said.roots]
        )
        return Explanation(said, {sight.key: sight.stack for sight in sights.values()})

    async def _look_at(self, assigned: Iterable[Situation], patience: float) -> dict[tuple[Address, Key], RunSight]:
        """What the workers see of tasks that they were sent."""
        keys = [one.key for one in assigned]
        workers = list(dict.fromkeys(one.worker for one in assigned))
        try:
            answer = await self._session.inspect(AskWorkers(LookAtRuns(keys), workers), patience)
        except ValueError:  # one of them has left meanwhile
            return {}
        assert isinstance(answer, Sights)
        return {
            (worker, run.key): run
            for worker, sight in answer.by_worker.items()
            if isinstance(sight, Runs)
            for run in sight.runs
        }

    async def _why_late(self, states: Iterable[FutureState]) -> str:
        """A sentence for a timeout; empty if nobody says in time what is the matter."""
        some = list(islice(states, 2))
        if not some:
            return ""
        state = some[0]
        try:
            said = await within(self._explain(state.key, state, 0.5 * _BRIEF), _BRIEF)
        except (asyncio.TimeoutError, BlockedHandlerError, ClosedClientError, CommError):
            return ""
        named = repr(state.key)
        if len(some) == 1 and said.text.startswith(named):  # the timeout names it already
            return f". It{said.text[len(named) :]}"
        return f". {said.text}"

    def _why_late_in_thread(self, states: Iterable[FutureState]) -> str:
        """The same, for callers in another thread."""
        try:
            return self._loop_thread.sync(self._why_late, states, timeout=1.5 * _BRIEF)
        except (TimeoutError, RuntimeError):
            return ""


def _seen(situation: Situation, sights: dict[tuple[Address, Key], RunSight]) -> Situation:
    """What the scheduler says, and its worker knows better."""
    run = sights.get((situation.worker, situation.key))
    if run is None:
        return situation
    if run.state == "running":
        return replace(situation, reason=why.RUNNING, seconds=run.seconds)
    if run.state == "fetching":
        return replace(situation, reason=why.FETCHING, workers=run.holders)
    if run.abandoned:
        return replace(situation, abandoned=run.abandoned)
    return situation
