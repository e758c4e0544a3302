"""What workers report, and what their coming and going means: one method per message."""

from __future__ import annotations

from collections.abc import Collection
from itertools import cycle

from nbcluster.protocol.messages import (
    AcquireReplicas,
    DataAdded,
    DataShared,
    DataTakenAway,
    Killed,
    Location,
    MissingData,
    Raised,
    RegisterWorker,
    ReplicasFailed,
    StoredData,
    TaskDone,
    TaskErred,
    TaskOutput,
    TaskRejoined,
    TaskRescheduled,
    TaskReturned,
    TasksDone,
    TaskSeceded,
    TasksRecalled,
    WorkerMetrics,
)
from nbcluster.protocol.operating import PauseChanged, ResourcesChanged
from nbcluster.scheduler.events import WorkerLeft
from nbcluster.scheduler.machine import Machine
from nbcluster.scheduler.outbox import Outbox
from nbcluster.scheduler.placement import Placement
from nbcluster.scheduler.requests import Requests
from nbcluster.scheduler.state import (
    MEMORY,
    RELEASED,
    SchedTask,
    SchedulerState,
    SchedWorker,
)
from nbcluster.types import Key, RunId, Status, WorkerName


class Reports:
    """Handlers of ``WorkerMessage``, and of workers that join, leave and retire."""

    def __init__(
        self,
        state: SchedulerState,
        machine: Machine,
        placement: Placement,
        requests: Requests,
        outbox: Outbox,
    ) -> None:
        self._state = state
        self._machine = machine
        self._placement = placement
        self._requests = requests
        self._outbox = outbox

    # --- runs ---

    def tasks_done(self, worker: SchedWorker, message: TasksDone) -> None:
        """Runs that succeeded; a stale one's result is freed."""
        runs = self._placement.succeeded(worker, message.items)
        keys, prefixes = [task.key for task, _ in runs], [task.prefix.name for task, _ in runs]
        self._state.stream.note_finished(worker.name, keys, prefixes, [done for _, done in runs])
        self._machine.finish(worker, runs)
        if len(runs) < len(message.items):
            known = {done.run_id for _, done in runs}
            for done in message.items:
                if done.run_id not in known:
                    self._free_stale(worker, done.key)
        worker.doubtful = False
        self._placement.resort(worker, again=self._is_lone_and_small(runs))

    def _is_lone_and_small(self, runs: list[tuple[SchedTask, TaskDone]]) -> bool:
        """True for one result of a few bytes. An actor is small, too, but the work that it will do is to be spread."""
        if len(runs) != 1:
            return False
        [(task, done)] = runs
        return done.payload is not None and done.nbytes <= self._state.settings.inline_limit and not task.options.actor

    def _free_stale(self, worker: SchedWorker, key: Key) -> None:
        task = self._state.tasks.get(key)
        if task is None or (worker not in task.who_has and task.processing_on is not worker):
            self._outbox.free(worker, key)

    def task_erred(self, worker: SchedWorker, message: TaskErred) -> None:
        """A run raised: try again while retries last, else the task errs."""
        task = worker.processing.get(message.run_id)
        if task is None:
            return
        prefix, start, stop = task.prefix.name, message.start, message.stop
        self._state.stream.note_failed(worker.name, task.key, prefix, message.thread, start, stop)
        worker.done += 1
        if task.retries > 0:
            task.retries -= 1
            self._machine.requeue(task)
        else:
            self._machine.fail(task, Raised(message.error), task.key)
        worker.doubtful = False
        self._placement.resort(worker)

    def rescheduled(self, worker: SchedWorker, message: TaskRescheduled) -> None:
        """The task asked to be run again."""
        self._take_back(worker, message.run_id)

    def seceded(self, worker: SchedWorker, message: TaskSeceded) -> None:
        """The task runs on without one of its worker's threads: that has room for another."""
        task = worker.processing.get(message.run_id)
        if task is not None:
            self._placement.seceded(task, worker)
            self._placement.resort(worker)

    def rejoined(self, worker: SchedWorker, message: TaskRejoined) -> None:
        """The task occupies a thread again."""
        if message.run_id in worker.long_running:
            del worker.long_running[message.run_id]
        else:
            worker.doubtful = True  # it was given up while it waited, and is busy now for nobody knows how long
        self._placement.resort(worker)

    def returned(self, worker: SchedWorker, message: TaskReturned) -> None:
        """The worker could not fetch what the task needs: those replicas do not exist."""
        self._lose_missing(worker, message.missing)
        self._take_back(worker, message.run_id)

    def recalled(self, worker: SchedWorker, message: TasksRecalled) -> None:
        """The worker gave back what it had not started."""
        if worker.recalling == message.request:
            worker.recalling = None
        if not message.run_ids:  # all that it has it is running
            worker.doubtful = False
        for run_id in message.run_ids:
            self._take_back(worker, run_id)
        self._placement.resort(worker)

    def _take_back(self, worker: SchedWorker, run_id: RunId) -> None:
        task = worker.processing.get(run_id)
        if task is not None:
            self._machine.requeue(task)
        self._placement.resort(worker)

    def output(self, worker: SchedWorker, message: TaskOutput) -> None:
        """Pass on what a task printed: to whoever holds its future, else to who submitted it."""
        if not message.key:
            for client in self._state.clients.values():
                self._outbox.to_client(client, message)
            return
        task = self._state.tasks.get(message.key)
        if task is None:
            return
        for client in task.who_wants or (() if task.origin is None else (task.origin,)):
            if client.id in self._state.clients:
                self._outbox.to_client(client, message)

    # --- data ---

    def data_added(self, worker: SchedWorker, message: DataAdded) -> None:
        """The worker holds more: scattered data, or copies."""
        for stored in message.items:
            if stored.stamp and not self._has_arrived(worker, stored):
                continue
            task = self._state.tasks.get(stored.key)
            scattering = self._state.scattering.pop(stored.key, None)
            if task is None:
                self._outbox.free(worker, stored.key)
            elif task.options.actor and worker not in task.who_has:
                self._outbox.free(worker, stored.key)  # it was the way to the actor, not the actor
            elif task.state == MEMORY:
                self._machine.add_replica(task, worker)
                self._state.replicated[task] = None
            elif scattering is not None and task.state == RELEASED:
                item = scattering.item
                payload = item.payload
                small = payload.sent_nbytes <= self._state.settings.inline_limit and not payload.is_live
                kept = payload if small or payload.is_shared else None  # of what is shared, the worker knows the name
                self._machine.store(task, worker, item.nbytes or stored.nbytes, item.type_name, kept)
            else:
                self._free_stale(worker, stored.key)

    def _has_arrived(self, worker: SchedWorker, stored: StoredData) -> bool:
        """True unless what was put there is not what its key means by now: then the worker is to forget it."""
        key, putting = stored.key, worker.putting
        if key not in putting:
            self._put_elsewhere(worker, key)
            return False  # it was freed on the way
        if putting[key] != stored.stamp:
            return False  # something newer is on its way, and will take its place
        del putting[key]
        task = self._state.tasks.get(key)
        if task is not None and task.order != stored.stamp:
            self._outbox.free(worker, key)
            return False
        return True

    def _put_elsewhere(self, worker: SchedWorker, key: Key) -> None:
        """Scattered data did not stay with a worker: if it is to come to no other, find one for it, or let go of it."""
        scattering = self._state.scattering.get(key)
        if scattering is None or worker.name not in scattering.targets:
            return
        scattering.targets.remove(worker.name)
        if scattering.targets:
            return
        if self._state.tasks[key].needed:
            self._requests.place_scattered([key])
        else:
            del self._state.scattering[key]

    def data_shared(self, worker: SchedWorker, message: DataShared) -> None:
        """Results are in shared memory now: they survive their worker, and whoever needs them gets them from here."""
        for item in message.items:
            task = self._state.tasks.get(item.key)
            if task is None or task.state != MEMORY or item.payload.is_lost:
                continue
            if worker in task.who_has and task.payload is None:
                self._machine.keep_payload(task, item.payload)

    def data_taken_away(self, worker: SchedWorker, message: DataTakenAway) -> None:
        """Results are on this worker's disk, and need not be in shared memory any more; nobody else has them then."""
        for key in message.keys:
            task = self._state.tasks.get(key)
            if task is None or task.state != MEMORY or task.payload is None or not task.payload.is_shared:
                continue
            if worker not in task.who_has or task in self._state.pinned:
                continue
            self._machine.forget_payload(task)
            for other in list(task.who_has):
                if other is not worker:
                    self._outbox.free(other, key)
                    self._machine.lose_replica(task, other)

    def replicas_failed(self, worker: SchedWorker, message: ReplicasFailed) -> None:
        """Copies that a worker was asked to make could not be made."""
        self._lose_missing(worker, message.missing)
        for missing in message.missing:
            task = self._state.tasks.get(missing.key)
            if task is not None:
                self._copy_failed(task)

    def _lose_missing(self, reporter: SchedWorker, missing: list[MissingData]) -> None:
        for item in missing:
            task = self._state.tasks.get(item.key)
            holder = self._state.by_address.get(item.holder)
            if task is not None and holder is not None and holder in task.who_has:
                if holder is not reporter:  # who says so of itself has dropped it: what it gets from now on is to stay
                    self._outbox.free(holder, task.key)
                self._machine.lose_replica(task, holder)

    def metrics(self, worker: SchedWorker, message: WorkerMetrics) -> None:
        """What the worker measured of itself."""
        worker.memory = message.memory
        worker.stored = message.stored
        worker.spilled = message.spilled
        worker.cpu = message.cpu
        worker.executing = message.executing

    # --- coming and going ---

    def joined(self, message: RegisterWorker, now: float) -> SchedWorker:
        """A worker is there; it gets work once it is said to be ready."""
        worker = SchedWorker(
            message.name,
            message.address,
            message.nthreads,
            pid=message.pid,
            memory_limit=message.memory_limit,
            resources=message.resources,
            shares=message.shares,
            local_directory=message.local_directory,
            joined=now,
        )
        state = self._state
        state.workers[worker.name] = worker
        state.by_address[worker.address] = worker
        for any_name in worker.names:
            state.by_any_name.setdefault(any_name, {})[worker] = None
        return worker

    def ready(self, worker: SchedWorker) -> None:
        """A worker may get work, unless it is about to go."""
        state = self._state
        if worker.status == Status.STARTING:
            worker.status = Status.RUNNING
        if worker.status != Status.RUNNING:
            return
        self._placement.resort(worker)
        waiting = [key for key, scattering in state.scattering.items() if not scattering.targets]
        if waiting:
            self._requests.place_scattered(waiting)

    def pause_changed(self, worker: SchedWorker, message: PauseChanged) -> None:
        """A worker wants no more tasks, or some again. What it has not started others may run."""
        if message.paused and worker.status in (Status.STARTING, Status.RUNNING):
            worker.status = Status.PAUSED
            self._placement.remove(worker)
            self._placement.recall_all(worker)
        elif not message.paused and worker.status == Status.PAUSED:
            worker.status = Status.RUNNING
            self.ready(worker)

    def resources_changed(self, worker: SchedWorker, message: ResourcesChanged) -> None:
        """A worker offers more or less than before. What it runs keeps what it has."""
        for name, amount in message.resources.items():
            worker.available[name] = worker.available.get(name, 0.0) + amount - worker.resources.get(name, 0.0)
            worker.resources[name] = amount
        self._placement.resort(worker)

    def left(self, event: WorkerLeft) -> None:
        """A worker is gone: its tasks run elsewhere, the one it died of is blamed, its data is recomputed."""
        state = self._state
        worker = state.workers.pop(event.name, None)
        if worker is None:
            return
        state.by_address.pop(worker.address, None)
        for any_name in worker.names:
            del state.by_any_name[any_name][worker]
            if not state.by_any_name[any_name]:
                del state.by_any_name[any_name]
        self._placement.remove(worker)
        for function in worker.functions:
            del state.functions[function].workers[worker]
        self._outbox.forget_worker(worker)
        worker.status = Status.CLOSED
        if state.retiring.pop(event.name, None) is not None and not worker.processing:
            self._outbox.retired(worker)
        for scattering in list(state.scattering.values()):
            scattering.targets.discard(event.name)
        for task in list(worker.holds):
            self._machine.lose_replica(task, worker)
        guilty = self._guilty(worker, event.running)
        for run_id, task in list(worker.processing.items()):
            if task.processing_on is not worker:
                continue
            if run_id in guilty:
                task.suspicious += 1
                if task.suspicious > state.settings.allowed_failures:
                    failure = Killed(task.suspicious, worker.address, event.cause, event.log)
                    self._machine.fail(task, failure, task.key)
                    continue
            self._machine.requeue(task)
        self._requests.place_scattered([k for k, s in state.scattering.items() if not s.targets])

    def _guilty(self, worker: SchedWorker, running: frozenset[RunId]) -> Collection[RunId]:
        """The runs that a worker died of.

        If what it ran was given up just now, that was by the worker's own client, which died with it: one of the tasks
        that wait there had submitted it, and would submit it again and again.
        """
        if running.isdisjoint(worker.processing) and not running.isdisjoint(worker.given_up):
            return list(worker.long_running)
        return running

    def retire(self, names: list[WorkerName]) -> None:
        """Let workers go gently: no more tasks, what they alone hold is copied elsewhere first."""
        state = self._state
        leaving = [state.workers[name] for name in names if name in state.workers]
        for worker in leaving:
            worker.status = Status.RETIRING
            self._placement.remove(worker)
            self._placement.recall_all(worker)
        staying = [worker for worker in state.workers.values() if worker.status == Status.RUNNING]
        turn = cycle(sorted(staying, key=lambda worker: worker.stored))
        copies: dict[SchedWorker, list[Location]] = {}
        for worker in leaving:
            copying = state.retiring.setdefault(worker.name, {})
            for task in worker.holds:
                if staying and not task.options.actor and not self._held_elsewhere(task):
                    target = copying[task] = next(turn)
                    location = Location(task.key, None, [worker.address], task.nbytes)
                    copies.setdefault(target, []).append(location)
        for target, locations in copies.items():
            self._outbox.to_worker(target, AcquireReplicas(locations))
        self.check_retiring()

    def _held_elsewhere(self, task: SchedTask) -> bool:
        return any(holder.status == Status.RUNNING for holder in task.who_has)

    def _copy_failed(self, task: SchedTask) -> None:
        for copying in self._state.retiring.values():
            copying.pop(task, None)

    def check_retiring(self) -> None:
        """Announce the retiring workers that run nothing and hold nothing that is nowhere else."""
        state = self._state
        for name, copying in list(state.retiring.items()):
            worker = state.workers[name]
            while copying:
                task, target = next(iter(copying.items()))
                if self._is_under_way(task, worker, target):
                    break
                del copying[task]
            if self._works(worker) or copying or any(name in s.targets for s in state.scattering.values()):
                continue
            if any(other.status == Status.RUNNING for other in state.workers.values()) and any(
                not self._held_elsewhere(task) for task in worker.holds
            ):
                self.retire([name])
                return
            del state.retiring[name]
            for task in list(worker.processing.values()):
                self._machine.requeue(task)
            self._outbox.retired(worker)

    def _works(self, worker: SchedWorker) -> bool:
        """True if it is worth waiting for what a retiring worker runs.

        Tasks that wait for others are, as long as there is somebody to run those. So are actors: they can live nowhere
        else.
        """
        if any(task.options.actor for task in worker.holds):
            return True
        if len(worker.processing) > len(worker.long_running):
            return True
        return bool(worker.processing) and any(w.status == Status.RUNNING for w in self._state.workers.values())

    def _is_under_way(self, task: SchedTask, worker: SchedWorker, target: SchedWorker) -> bool:
        """True if a copy that was ordered is still to come, and still needed."""
        if target.status != Status.RUNNING or worker not in task.who_has:
            return False
        return not self._held_elsewhere(task)
