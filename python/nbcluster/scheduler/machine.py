"""The life of a task: the only code that changes a task's state, together with ``letting_go``, where it ends.

Rules
1. Each method is one transition (or one that cascades), synchronous, without I/O; what has to be said goes to
   the outbox.
2. Cascades are loops over worklists, never recursion: chains may be a million tasks long.
"""

from __future__ import annotations

from collections.abc import Mapping

from nbcluster.protocol.messages import Failure, KeyDone, KeyErred, Lost, TaskDone
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.letting_go import LettingGo
from nbcluster.scheduler.state import (
    ERRED,
    FORGOTTEN,
    MEMORY,
    NOBODY,
    PROCESSING,
    QUEUED,
    RELEASED,
    WAITING,
    SchedClient,
    SchedTask,
    SchedWorker,
    excluding,
    including,
)
from nbcluster.scheduler.tally import tally


class Machine(LettingGo):
    """Transitions over ``SchedulerState``."""

    # --- towards running ---

    def start(self, task: SchedTask) -> None:
        """Have a released task computed, and whatever of its lineage is not in memory."""
        stack = [task]
        while stack:
            task = stack.pop()
            if task.state != RELEASED:
                continue
            if task.function is None:
                if task.key not in self._state.scattering:  # else it is on its way
                    self.fail(task, Lost(""), task.key)
                continue
            self._move(task, WAITING)
            waiting_on: dict[SchedTask, None] = {}
            failed = None
            for dependency in task.dependencies:
                _add_waiter(dependency, task)
                if dependency.state == MEMORY:
                    continue
                waiting_on[dependency] = None
                if dependency.state == RELEASED:
                    stack.append(dependency)
                elif dependency.state == ERRED:
                    failed = dependency
            task.waiting_on = waiting_on or None
            if failed is not None and failed.failure is not None:
                self.fail(task, failed.failure, failed.blamed)
            elif not waiting_on:
                self._ready(task)

    def start_free(self, tasks: list[SchedTask]) -> None:
        """The same for many with the same options that need no others: there is nothing to wait for."""
        started = [task for task in tasks if task.state == RELEASED]
        self._note([task.key for task in started], RELEASED, WAITING, QUEUED)
        for prefix, count in tally([task.prefix for task in started]).items():
            prefix.counts[RELEASED] -= count
            prefix.counts[QUEUED] += count
        for task in started:
            task.state = QUEUED
        self._placement.enqueue_free(started)

    def _ready(self, task: SchedTask) -> None:
        task.waiting_on = None
        self._move(task, QUEUED)
        self._placement.enqueue(task)

    def requeue(self, task: SchedTask) -> None:
        """A run came to nothing (worker lost, recalled, rescheduled): queue it, or wait for lost data."""
        self._placement.finished(task)
        missing = {d: None for d in task.dependencies if d.state != MEMORY}
        if not missing:
            self._ready(task)
            return
        self._move(task, WAITING)
        self._wait_for(task, missing)

    def _wait_for(self, task: SchedTask, missing: dict[SchedTask, None]) -> None:
        task.waiting_on = missing
        for dependency in list(missing):
            if dependency.state == RELEASED:
                self.start(dependency)
            elif dependency.state == ERRED and task.state == WAITING and dependency.failure is not None:
                self.fail(task, dependency.failure, dependency.blamed)

    # --- in memory ---

    def finish(self, worker: SchedWorker, runs: list[tuple[SchedTask, TaskDone]]) -> None:
        """Runs of a worker succeeded, and are no longer assigned to it."""
        worker.done += len(runs)
        self._note([task.key for task, _ in runs], PROCESSING, MEMORY)
        holds, here, loosen, keep = worker.holds, worker.only, self._loose.append, self._payloads.keep
        for_whom: dict[SchedClient, list[SchedTask]] = {}
        wanted: Mapping[SchedClient, None] = NOBODY
        theirs: list[list[SchedTask]] = []
        for task, done in runs:
            prefix = task.prefix
            prefix.done += 1
            counts = prefix.counts
            counts[PROCESSING] -= 1
            counts[MEMORY] += 1
            task.state = MEMORY
            task.nbytes = done.nbytes
            task.type_name = done.type_name
            task.who_has = including(task.who_has, worker) if task.who_has else here
            holds[task] = None
            if task.dependencies:
                self._has_used(task)
            payload = done.payload
            if payload is not None and not task.options.actor:  # an actor is where it was made, and nowhere else
                keep(task, payload)
            if task.dependents:
                self._feed_dependents(task)
            if task.who_wants is not wanted:  # nearly all have the same
                wanted = task.who_wants
                theirs = [for_whom.setdefault(client, []) for client in wanted]
            for tasks in theirs:
                tasks.append(task)
            if not wanted and not task.waiters:
                loosen(task)
        self._payloads.make_room()
        for client, tasks in for_whom.items():
            self.announce(client, tasks)

    def _has_used(self, task: SchedTask) -> None:
        for dependency in task.dependencies:
            waiters = dependency.waiters
            if waiters is not None:
                waiters.pop(task, None)
                if not waiters and not dependency.who_wants:
                    self._loose.append(dependency)

    def store(
        self,
        task: SchedTask,
        worker: SchedWorker | None,
        nbytes: int,
        type_name: str,
        payload: Payload | None,
    ) -> None:
        """The data is there: with a worker, or with us. Those who waited may go on."""
        task.nbytes = nbytes
        task.type_name = type_name
        task.failure = None
        self._move(task, MEMORY)
        if worker is not None:
            self.add_replica(task, worker)
        if payload is not None and not task.options.actor:
            self.keep_payload(task, payload)
        self._feed_dependents(task)
        for client in task.who_wants:
            self.announce(client, [task])
        if not task.needed:
            self._loose.append(task)

    def _feed_dependents(self, task: SchedTask) -> None:
        for dependent in task.dependents or ():
            waiting_on = dependent.waiting_on
            if waiting_on is not None and task in waiting_on:
                del waiting_on[task]
                if not waiting_on and dependent.state == WAITING:
                    self._ready(dependent)

    def announce(self, client: SchedClient, tasks: list[SchedTask]) -> None:
        """Tell a client that results are there; small ones go along while its budget lasts."""
        if client is self._state.keeper:
            self._kept += tasks
            return
        budget, pushed, wants = self._state.settings.client_budget, client.pushed, client.wants
        items = []
        for task in tasks:
            payload = task.payload
            if payload is not None:
                nbytes = payload.sent_nbytes if payload.frames else len(payload.data)
                if pushed + nbytes <= budget:
                    pushed += nbytes - wants[task]
                    wants[task] = nbytes
                else:
                    payload = None
            items.append(KeyDone(task.key, task.type_name, task.nbytes, payload))
        client.pushed = pushed
        self._outbox.done(client, items)

    def add_replica(self, task: SchedTask, worker: SchedWorker) -> None:
        """A worker holds the data."""
        task.who_has = including(task.who_has, worker) if task.who_has else worker.only
        worker.holds[task] = None

    def keep_payload(self, task: SchedTask, payload: Payload) -> None:
        """Have the result itself, or what tells where it is in shared memory, at hand for all who need it."""
        self._payloads.keep(task, payload)
        self._payloads.make_room()

    def forget_payload(self, task: SchedTask) -> None:
        """Have the result no longer at hand: its holders have it."""
        self._payloads.drop(task)
        self._payloads.pass_over_dropped()

    def lose_replica(self, task: SchedTask, worker: SchedWorker) -> None:
        """A worker does not hold the data any more; if it was the last, the data is lost."""
        worker.holds.pop(task, None)
        if worker in task.who_has:
            task.who_has = excluding(task.who_has, worker)
            if task.state == MEMORY and not task.who_has and task.payload is None:
                self._lose(task, worker)

    def _lose(self, task: SchedTask, worker: SchedWorker) -> None:
        for client in task.who_wants:
            client.pushed -= client.wants[task]
            client.wants[task] = 0
        if task.function is None or task.options.actor:
            self.fail(task, Lost(worker.address, task.options.actor), task.key)
            return
        self._move(task, RELEASED)
        for client in task.who_wants:
            self._outbox.pending(client, task.key)
        for dependent in task.waiters or ():
            if dependent.state == QUEUED:
                self._move(dependent, WAITING)
                dependent.waiting_on = {task: None}
            elif dependent.state == WAITING:
                dependent.waiting_on = {**(dependent.waiting_on or {}), task: None}
        if task.needed:
            self.start(task)
        else:
            self._loose.append(task)

    # --- failing ---

    def fail(self, task: SchedTask, failure: Failure, blamed: str) -> None:
        """The task erred; so do all that wait for it, and theirs."""
        stack = [task]
        while stack:
            task = stack.pop()
            if task.state in (ERRED, FORGOTTEN):
                continue
            if task.state == PROCESSING:
                self._placement.finished(task)
            self._move(task, ERRED)
            task.failure = failure
            task.blamed = blamed
            task.waiting_on = None
            self._stop_waiting(task)
            for client in task.who_wants:
                if client is self._state.keeper:
                    self._kept.append(task)
                    continue
                self._outbox.to_client(client, KeyErred(task.key, failure, blamed, client.let_go))
            stack.extend(t for t in task.dependents or () if t.state in (WAITING, QUEUED))
            self._loose.append(task)

    def revive(self, task: SchedTask) -> None:
        """Run an erred task again, and the erred ones it depends on."""
        stack, erred = [task], []
        while stack:
            task = stack.pop()
            if task.state != ERRED:
                continue
            self._move(task, RELEASED)
            task.failure = None
            task.suspicious = 0
            erred.append(task)
            for client in task.who_wants:
                self._outbox.pending(client, task.key)
            stack.extend(task.dependencies)
        for task in erred:
            self.start(task)


def _add_waiter(task: SchedTask, waiter: SchedTask) -> None:
    if task.waiters is None:
        task.waiters = {waiter: None}
    else:
        task.waiters[waiter] = None
