"""The worker as a pure state machine: events in, commands out; no I/O, no clock, no await.

    core = WorkerCore(address)
    for command in core.handle(FromScheduler([Compute([…])]), now):
        …                                                # Execute([WorkerTask]), Fetch("unix://…", ["x"])
    for command in core.handle(RunsEnded([Finished(…)]), now):
        …                                                # KeepResults([…]), Send([TasksDone([…])])

Rules
1. A run is named by its run id. Whatever ends for an id that is not in ``runs`` was freed meanwhile: it is
   dropped without a word, for the scheduler has forgotten it too.
2. There is at most one run per key; a new one replaces the old.
3. What arrives with a task (small results) is for that task alone. What is fetched from peers is kept and
   announced, so that others may fetch it here.
4. The core moves results and payloads, but never looks inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbcluster.emptied import give_back
from nbcluster.protocol import messages as m
from nbcluster.protocol.messages import ComputeTask, DataItem, MissingData, StoredData
from nbcluster.types import Address, Key, RunId
from nbcluster.worker.commands import (
    Batches,
    Capture,
    Command,
    Drop,
    Execute,
    KeepData,
    Recall,
    Unqueue,
)
from nbcluster.worker.events import (
    DataArrived,
    Event,
    FetchFailed,
    Finished,
    FromScheduler,
    InputsLost,
    OtherOutcome,
    RunsEnded,
    RunsRecalled,
    TakenUp,
)
from nbcluster.worker.fetching import Fetching, Settled
from nbcluster.worker.state import (
    ERRED,
    FINISHED,
    FREED,
    NEW,
    READY,
    RECALLED,
    RESCHEDULED,
    RETURNED,
    WAITING,
    KeyFetch,
    WorkerState,
    WorkerTask,
)
from nbcluster.worker.story import RunState


class WorkerCore:
    """Who knows every run and every datum of one worker, and says what has to be done."""

    def __init__(self, address: Address) -> None:
        self.state = WorkerState()
        self._address = address
        self._now = 0.0
        self._batches = Batches()
        self._fetching = Fetching(self.state, self._batches, address)
        self._on_event: dict[type, Callable[[Any], None]] = {
            FromScheduler: self._from_scheduler,
            RunsEnded: self._runs_ended,
            RunsRecalled: self._runs_recalled,
            DataArrived: self._data_arrived,
            FetchFailed: self._fetch_failed,
        }
        self._on_message: dict[type, Callable[[Any], None]] = {
            m.Compute: self._compute,
            m.FreeKeys: self._free,
            m.RecallTasks: self._recall,
            m.PutData: self._put,
            m.AcquireReplicas: self._acquire,
        }

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event; return what must be done, in order. ``now`` is monotonic seconds."""
        self._now = now
        self._on_event[type(event)](event)
        if self.state.peers:
            self._fetching.ask()
        return self._batches.take()

    # --- transitions ---

    def _move(self, run: WorkerTask, after: RunState) -> None:
        before = run.state
        effect = _TRANSITIONS[before, after]
        run.state = after
        task = run.task
        self.state.story.note((self._now, task.key, task.run_id, before, after))
        effect(self, run)

    def _begin(self, run: WorkerTask) -> None:
        task = run.task
        self.state.runs[task.run_id] = run
        self.state.by_key[task.key] = run

    def _end(self, run: WorkerTask) -> None:
        task = run.task
        del self.state.runs[task.run_id]
        del self.state.by_key[task.key]

    def _execute_new(self, run: WorkerTask) -> None:
        self._begin(run)
        self._batches.add(Execute, run)

    def _execute_waiting(self, run: WorkerTask) -> None:
        self._batches.add(Execute, run)

    def _wait(self, run: WorkerTask) -> None:
        self._begin(run)
        self._batches.add(Capture, run)

    def _stop_waiting(self, run: WorkerTask) -> None:
        self._end(run)
        self._refuse(run)

    def _refuse(self, run: WorkerTask) -> None:
        waiting_on, run.waiting_on = run.waiting_on or {}, None
        for fetch in waiting_on:
            self._fetching.unwant(fetch, run)

    def _unqueue(self, run: WorkerTask) -> None:
        self._end(run)
        self._batches.add(Unqueue, run.task.run_id)

    # --- the scheduler's messages ---

    def _from_scheduler(self, event: FromScheduler) -> None:
        for message in event.messages:
            self._on_message[type(message)](message)

    def _compute(self, message: m.Compute) -> None:
        alone: list[ComputeTask] = []
        for task in message.tasks:
            if task.dependencies:
                self._begin_alone(alone)
                alone = []
                self._begin_with_inputs(task)
            else:
                alone.append(task)
        self._begin_alone(alone)

    def _begin_alone(self, tasks: list[ComputeTask]) -> None:
        """New runs of tasks that need no others."""
        if len({task.key for task in tasks}) < len(tasks):  # the later ones replace the earlier ones
            for task in tasks:
                self._batches.execute(self._ready([task]))
        elif tasks:
            self._batches.execute(self._ready(tasks))

    def _begin_with_inputs(self, task: ComputeTask) -> None:
        self._replace(task.key)
        run = WorkerTask(task)
        if missing := self._gather(run, task):
            self._give_back(run, missing)
        else:
            self._move(run, WAITING if run.waiting_on else READY)

    def _replace(self, key: Key) -> None:
        old = self.state.by_key.get(key)
        if old is not None:
            self._move(old, FREED)

    def _ready(self, tasks: list[ComputeTask]) -> list[WorkerTask]:
        """The new runs of tasks with different keys: as ``_move`` and ``_begin`` of each, all at a time."""
        state = self.state
        keys, run_ids = [task.key for task in tasks], [task.run_id for task in tasks]
        if not state.by_key.keys().isdisjoint(keys):
            for key in keys:
                self._replace(key)
        runs = [WorkerTask(task, READY) for task in tasks]
        state.runs.update(zip(run_ids, runs, strict=True))
        state.by_key.update(zip(keys, runs, strict=True))
        state.story.note_all(self._now, keys, run_ids, NEW, READY)
        return runs

    def _gather(self, run: WorkerTask, task: ComputeTask) -> list[MissingData]:
        """Find the inputs of a new run. Returns those that nobody has."""
        held = self.state.held
        inputs: dict[Key, Any] = {}
        run.inputs = inputs
        waiting_on: dict[KeyFetch, None] = {}
        missing: list[MissingData] = []
        for dependency in task.dependencies:
            key = dependency.key
            inputs[key] = None
            if key in held:
                continue
            if dependency.payload is not None:
                inputs[key] = dependency.payload
                continue
            fetch = self._fetching.want(key, dependency.nbytes, dependency.holders, run)
            if fetch is None:
                missing += [MissingData(key, holder) for holder in dependency.holders or [self._address]]
            else:
                waiting_on[fetch] = None
        run.waiting_on = waiting_on or None
        return missing

    def _give_back(self, run: WorkerTask, missing: list[MissingData]) -> None:
        self._move(run, RETURNED)
        self._batches.send(m.TaskReturned(run.task.key, run.task.run_id, missing))

    def _free(self, message: m.FreeKeys) -> None:
        state, keys = self.state, message.keys
        held, by_key = state.held, state.by_key
        there = [key for key in keys if held.pop(key, None) is not None]
        if there:
            give_back(held)
            self._batches.drop(there)
        if by_key:
            for key in keys:
                run = by_key.get(key)
                if run is not None:
                    self._move(run, FREED)
        if state.fetches:
            for key in keys:
                self._fetching.forget(key)

    def _recall(self, message: m.RecallTasks) -> None:
        given_back: list[RunId] = []
        queued: list[RunId] = []
        for run_id in message.run_ids:
            run = self.state.runs.get(run_id)
            if run is None:
                continue
            if run.state == READY:
                queued.append(run_id)
            else:
                self._move(run, RECALLED)
                given_back.append(run_id)
        if queued:
            self.state.recalling[message.request] = given_back
            self._batches.command(Recall(message.request, queued))
        else:
            self._batches.send(m.TasksRecalled(given_back, message.request))

    def _put(self, message: m.PutData) -> None:
        for item in message.items:
            self._keep(item)

    def _acquire(self, message: m.AcquireReplicas) -> None:
        for location in message.items:
            key = location.key
            if key in self.state.held:
                self._batches.holds(StoredData(key, self.state.held[key]))
            elif location.payload is not None:
                self._keep(DataItem(key, location.payload, location.nbytes))
            elif self._fetching.want(key, location.nbytes, location.holders, None) is None:
                for holder in location.holders or [self._address]:
                    self._batches.replica_failed(MissingData(key, holder))

    # --- the executor's reports ---

    def _runs_ended(self, event: RunsEnded) -> None:
        taken_up: list[ComputeTask] = []
        finished: list[Finished] = []
        begun, by_key = set[Key](), self.state.by_key
        for outcome in event.outcomes:
            if isinstance(outcome, Finished):
                finished.append(outcome)
            elif isinstance(outcome, TakenUp) and (key := outcome.task.key) not in begun and key not in by_key:
                taken_up.append(outcome.task)
                begun.add(key)
            else:
                self._begun_and_finished(taken_up, finished)
                taken_up, finished, begun = [], [], set()
                self._otherwise_ended(outcome)
        self._begun_and_finished(taken_up, finished)

    def _begun_and_finished(self, taken_up: list[ComputeTask], finished: list[Finished]) -> None:
        """One run after the other, each of its own key: it is the same if first they all begin, and then some end."""
        if taken_up:
            self._ready(taken_up)  # they are the executor's already
        if finished:
            self._finished(finished)

    def _finished(self, outcomes: list[Finished]) -> None:
        state = self.state
        runs, by_key = state.runs, state.by_key
        outcomes = [outcome for outcome in outcomes if outcome.done.run_id in runs]
        if not outcomes:
            return
        done = [outcome.done for outcome in outcomes]
        keys, run_ids = [one.key for one in done], [one.run_id for one in done]
        for run_id in run_ids:
            run = runs.pop(run_id)
            assert run.state == READY, f"{run} cannot have finished"
        for key in keys:
            del by_key[key]
        state.held.update(zip(keys, [one.nbytes for one in done], strict=True))
        state.story.note_all(self._now, keys, run_ids, READY, FINISHED)
        self._batches.keep(outcomes)
        self._batches.done([outcome.done for outcome in outcomes if not outcome.told])
        if state.fetches:
            for key in keys:
                self._obtained(key)

    def _otherwise_ended(self, outcome: OtherOutcome) -> None:
        if isinstance(outcome, TakenUp):
            self._ready([outcome.task])
        elif isinstance(outcome, m.FreeKeys):
            self._free(outcome)
        elif (run := self.state.runs.get(outcome.run_id)) is None:
            return
        elif isinstance(outcome, InputsLost):
            self._lose_inputs(run, outcome)
        elif isinstance(outcome, (m.TaskSeceded, m.TaskRejoined)):
            self._batches.send(outcome)
        else:
            self._move(run, ERRED if isinstance(outcome, m.TaskErred) else RESCHEDULED)
            self._batches.send(outcome)

    def _lose_inputs(self, run: WorkerTask, outcome: InputsLost) -> None:
        """What could not be read is not here: from now on others are asked for it, until the scheduler has it made."""
        for key in outcome.inputs:
            if self.state.held.pop(key, None) is not None:
                self._batches.add(Drop, key)
        self._give_back(run, [MissingData(key, self._address) for key in outcome.inputs])

    def _runs_recalled(self, event: RunsRecalled) -> None:
        given_back = self.state.recalling.pop(event.request)
        for run_id in event.run_ids:
            run = self.state.runs.get(run_id)
            if run is not None:
                self._move(run, RECALLED)
                given_back.append(run_id)
        self._batches.send(m.TasksRecalled(given_back, event.request))

    # --- data ---

    def _keep(self, item: DataItem) -> None:
        nbytes = item.nbytes or item.payload.nbytes
        self.state.held[item.key] = nbytes
        self._batches.add(KeepData, item)
        self._batches.holds(StoredData(item.key, nbytes, item.stamp))
        self._obtained(item.key)

    def _obtained(self, key: Key) -> None:
        fetch = self._fetching.obtained(key)
        if fetch is not None:
            self._serve(fetch, None)

    def _data_arrived(self, event: DataArrived) -> None:
        items = {item.key: item for item in event.items}
        settled = self._fetching.answered(event.holder, items)
        for fetch in settled.arrived:
            item = items[fetch.key]
            if fetch.wanted and not fetch.detached:
                self._keep(item)
            self._serve(fetch, item)
        self._tell_failed(settled)

    def _fetch_failed(self, event: FetchFailed) -> None:
        self._tell_failed(self._fetching.answered(event.holder, ()))

    def _serve(self, fetch: KeyFetch, item: DataItem | None) -> None:
        """Give what arrived to the runs that wait for it."""
        waiters, fetch.waiters = fetch.waiters, {}
        for run in waiters:
            assert run.waiting_on is not None
            assert run.inputs is not None
            del run.waiting_on[fetch]
            if item is not None and fetch.detached:
                run.inputs[fetch.key] = item.payload
            if not run.waiting_on:
                run.waiting_on = None
                self._move(run, READY)
            elif item is None or not fetch.detached:
                self._batches.add(Capture, run)

    def _tell_failed(self, settled: Settled) -> None:
        returned: dict[WorkerTask, list[MissingData]] = {}
        for fetch in settled.failed:
            if fetch.replica:
                for missing in fetch.tried:
                    self._batches.replica_failed(missing)
            for run in fetch.waiters:
                assert run.waiting_on is not None
                del run.waiting_on[fetch]
                returned.setdefault(run, []).extend(fetch.tried)
        for run, tried in returned.items():
            self._give_back(run, tried)


_TRANSITIONS: dict[tuple[RunState, RunState], Callable[[WorkerCore, WorkerTask], None]] = {
    (NEW, READY): WorkerCore._execute_new,
    (NEW, WAITING): WorkerCore._wait,
    (NEW, RETURNED): WorkerCore._refuse,
    (WAITING, READY): WorkerCore._execute_waiting,
    (WAITING, RETURNED): WorkerCore._stop_waiting,
    (WAITING, RECALLED): WorkerCore._stop_waiting,
    (WAITING, FREED): WorkerCore._stop_waiting,
    (READY, ERRED): WorkerCore._end,
    (READY, RESCHEDULED): WorkerCore._end,
    (READY, RETURNED): WorkerCore._end,
    (READY, RECALLED): WorkerCore._end,
    (READY, FREED): WorkerCore._unqueue,
}
"""What each transition does; and what nearly all runs go through, ``_ready`` and ``_finished`` do in one step each.

Any other is a bug, and raises.
"""
