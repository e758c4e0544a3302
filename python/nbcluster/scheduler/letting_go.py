"""How tasks are let go of: what a ``Machine`` does when nobody needs a task any more, or somebody cancels it.

Nobody frees a task directly. Who stops needing it says ``loosen``; ``settle`` then releases and forgets what nobody
needs, in one place, at the end of the event. Only small results that a client lets go of are *put off*, so many of
them: to forget them is a good part of what a task costs, and other tasks are waited for.
"""

from __future__ import annotations

from collections.abc import Iterable

from nbcluster.emptied import give_back
from nbcluster.protocol.messages import KeysCancelled
from nbcluster.scheduler.outbox import Outbox
from nbcluster.scheduler.payloads import Payloads
from nbcluster.scheduler.placement import Placement
from nbcluster.scheduler.state import (
    FORGOTTEN,
    MEMORY,
    NOBODY,
    NOWHERE,
    PROCESSING,
    RELEASED,
    SchedClient,
    SchedTask,
    SchedulerState,
    SchedWorker,
    excluding,
)
from nbcluster.scheduler.story import State
from nbcluster.scheduler.tally import tally
from nbcluster.types import FunctionId, Key


class LettingGo:
    """The part of the transitions over ``SchedulerState`` that ends them."""

    def __init__(self, state: SchedulerState, outbox: Outbox, placement: Placement) -> None:
        self._state = state
        self._outbox = outbox
        self._placement = placement
        self._payloads = Payloads(state)
        self._loose: list[SchedTask] = []
        self.put_off: list[SchedTask] = []
        """In memory as they are, for ``tidy``. Whoever is about to name a key anew first calls ``put_nothing_off``."""
        self._kept: list[SchedTask] = []
        """What was to be computed to its end, and has been."""

    def _move(self, task: SchedTask, state: State) -> None:
        counts = task.prefix.counts
        counts[task.state] -= 1
        counts[state] += 1
        known = self._state
        known.story.note((known.now, task.key, task.state, state, known.stimulus))
        task.state = state

    def _note(self, keys: list[Key], *states: State) -> None:
        """Have it in the story that many tasks went from state to state."""
        known = self._state
        known.story.note_all(known.now, keys, states, known.stimulus)

    def loosen(self, task: SchedTask) -> None:
        """Somebody stopped needing this task: ``settle`` will look at it."""
        self._loose.append(task)

    def settle(self) -> None:
        """Release, and where no lineage needs them forget, all tasks that nobody needs any more."""
        while self._kept:
            self.unwant(self._kept.pop(), self._state.keeper)
        loose = self._loose
        if not loose:
            return
        plain = []
        while loose:
            task = loose.pop()
            state = task.state
            if task.who_wants or task.waiters or state == FORGOTTEN:
                continue
            if state == MEMORY and not task.dependencies and not task.dependents:
                task.state = FORGOTTEN  # nobody is to come upon it twice
                plain.append(task)
                continue
            if state != RELEASED:
                self.release(task)
            if not task.dependents:
                self._forget(task)
        if plain:
            self._forget_plain(plain)
        self._payloads.pass_over_dropped()

    def tidy(self, most: int) -> None:
        """Have ``settle`` look at some of what was put off: what was first."""
        self._loose += self.put_off[:most]
        del self.put_off[:most]

    def put_nothing_off(self) -> None:
        """Forget all that was put off, now."""
        if self.put_off:
            self.tidy(len(self.put_off))
            self.settle()

    def _forget_plain(self, tasks: list[SchedTask]) -> None:
        """Release and forget tasks in memory that have to do with no others, as nearly all have not."""
        state = self._state
        known, scattering = state.tasks, state.scattering
        keys = [task.key for task in tasks]
        self._note(keys, MEMORY, RELEASED, FORGOTTEN)
        self._payloads.drop(*tasks)
        freed: dict[SchedWorker, list[Key]] = {}
        for task in tasks:
            key = task.key
            for worker in task.who_has:
                del worker.holds[task]
                held = freed.get(worker)
                if held is None:
                    freed[worker] = [key]
                else:
                    held.append(key)
            task.who_has = NOWHERE
            task.prefix.counts[MEMORY] -= 1
            task.frames = ()
            del known[key]
        if scattering:
            for key in keys:
                scattering.pop(key, None)
        self._forget_copies(tasks)
        give_back(known)
        for worker, held in freed.items():
            give_back(worker.holds)
            self._outbox.free_all(worker, held)
        for function, count in tally([task.function for task in tasks]).items():
            if function is not None:
                self._discount(function, count)

    def _forget_copies(self, tasks: Iterable[SchedTask]) -> None:
        for noted in (self._state.replicated, self._state.pinned):
            if noted:
                for task in tasks:
                    noted.pop(task, None)

    def release(self, task: SchedTask) -> None:
        """Take a task back to where it needs nothing and holds nothing."""
        state = task.state
        if state == MEMORY:
            for worker in task.who_has:
                worker.holds.pop(task, None)
                self._outbox.free(worker, task.key)
            task.who_has = NOWHERE
            self._payloads.drop(task)
        elif state == PROCESSING:
            seceded = task.processing_on is not None and task.run_id in task.processing_on.long_running
            worker = self._placement.finished(task)
            worker.given_up.append(task.run_id)
            worker.doubtful = worker.doubtful or not seceded
            self._outbox.free(worker, task.key)
            self._placement.resort(worker)
        self._move(task, RELEASED)
        task.waiting_on = None
        task.failure = None
        self._stop_waiting(task)

    def _stop_waiting(self, task: SchedTask) -> None:
        for dependency in task.dependencies:
            waiters = dependency.waiters
            if waiters and task in waiters:
                del waiters[task]
                if not waiters and not dependency.who_wants:
                    self._loose.append(dependency)

    def _forget(self, task: SchedTask) -> None:
        self._move(task, FORGOTTEN)
        state = self._state
        del state.tasks[task.key]
        state.scattering.pop(task.key, None)
        self._forget_copies((task,))
        counts = task.prefix.counts
        counts[FORGOTTEN] = 0
        for dependency in task.dependencies:
            dependents = dependency.dependents
            if dependents is not None:
                dependents.pop(task, None)
                if not dependents:
                    dependency.dependents = None
                    self._loose.append(dependency)
        task.dependencies = ()
        task.frames = ()
        function = task.function
        if function is not None:
            self._discount(function, 1)

    def _discount(self, function: FunctionId, tasks: int) -> None:
        """So many tasks of a function have been forgotten."""
        record = self._state.functions[function]
        record.tasks -= tasks
        if not record.tasks:
            del self._state.functions[function]
            for worker in record.workers:
                worker.functions.discard(function)
                self._outbox.forget_function(worker, function)

    def cancel(self, roots: list[SchedTask], client: SchedClient, reason: str, msg: str, force: bool) -> None:
        """Cancel tasks and what depends on them, as far as this client (``force``: anybody) wants them.

        The client has cancelled its futures for the ``roots`` itself, and may have new ones by the time it could be
        told: so it is told of what depends on them only.
        """
        seen: dict[SchedTask, None] = {}
        stack = list(roots)
        while stack:
            task = stack.pop()
            if task not in seen:
                seen[task] = None
                stack.extend(task.dependents or ())
        known = set(roots)
        cancelled: dict[SchedClient, list[str]] = {}
        for task in seen:
            mine = client.only if client in task.who_wants else NOBODY
            for other in list(task.who_wants if force else mine):
                if other is not client or task not in known:
                    cancelled.setdefault(other, []).append(task.key)
                self.unwant(task, other)
        for other, keys in cancelled.items():
            self._outbox.to_client(other, KeysCancelled(keys, reason, msg, other.let_go))

    def unwant(self, task: SchedTask, client: SchedClient) -> None:
        """A client has no more futures for this task."""
        client.pushed -= client.wants.pop(task, 0)
        task.who_wants = NOBODY if len(task.who_wants) == 1 else excluding(task.who_wants, client)
        if not task.who_wants:
            self._loose.append(task)

    def unwant_keys(self, keys: Iterable[Key], client: SchedClient) -> None:
        """The same for the tasks of all these keys that it has futures for. Small results are put off."""
        loose: list[SchedTask] = []
        tasks, pop, only, loosen = self._state.tasks, client.wants.pop, client.only, loose.append
        pushed = 0
        for key in keys:
            task = tasks.get(key)
            if task is None or (nbytes := pop(task, None)) is None:
                continue
            pushed += nbytes
            if task.who_wants is not only:
                task.who_wants = excluding(task.who_wants, client)
                if task.who_wants:
                    continue
            task.who_wants = NOBODY
            loosen(task)
        give_back(client.wants)
        client.pushed -= pushed
        room = self._state.settings.put_off - len(self.put_off)
        if len(loose) <= room:  # of more, those that were just looked at cost least
            for task in loose:
                (self.put_off if _is_small_and_plain(task) else self._loose).append(task)
        else:
            self._loose += loose


def _is_small_and_plain(task: SchedTask) -> bool:
    """True for a result of a few bytes that has to do with no other task."""
    payload = task.payload
    if payload is None or payload.frames or task.state != MEMORY:
        return False
    return not (task.dependencies or task.dependents)
