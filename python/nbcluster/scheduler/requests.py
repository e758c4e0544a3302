"""What clients may ask: one method per message."""

from __future__ import annotations

from itertools import cycle, islice

from msgspec.structs import replace

from nbcluster.protocol.delivery import FindReceivers, Receivers
from nbcluster.protocol.messages import (
    CancelKeys,
    FinishKeys,
    KeyErred,
    Line,
    Locate,
    Located,
    Location,
    PutData,
    ReleaseKeys,
    ReportMissing,
    RetryKeys,
    Scatter,
    SubmitTasks,
    TaskOptions,
    WantKeys,
)
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.lanes import is_named
from nbcluster.scheduler.machine import Machine
from nbcluster.scheduler.outbox import Outbox
from nbcluster.scheduler.state import (
    ERRED,
    MEMORY,
    NO_OPTIONS,
    NOBODY,
    RELEASED,
    FunctionRecord,
    Scattering,
    SchedClient,
    SchedTask,
    SchedulerState,
    SchedWorker,
    including,
)
from nbcluster.scheduler.tally import tally
from nbcluster.types import FunctionId, Key, Status, key_prefix

_ABOUT_EQUAL = 64 * 2**20
"""Bytes: workers whose results differ by less are given scattered data in turn."""


class Requests:
    """Handlers of ``ClientMessage``."""

    def __init__(self, state: SchedulerState, machine: Machine, outbox: Outbox) -> None:
        self._state = state
        self._machine = machine
        self._outbox = outbox
        self._turns = 0

    # --- tasks ---

    def submit(self, client: SchedClient, message: SubmitTasks) -> None:
        """Make tasks of new keys and start them; join the ones that are there."""
        tasks, machine, wants = self._state.tasks, self._machine, client.wants
        function, options, arguments = message.function, message.options, message.arguments
        keys = message.keys
        sparse = bool(message.dependencies or message.frames)
        parent = self._parent(client, message.line)
        are_new = not sparse and parent is None and self._are_new(keys)
        if are_new and len(keys) > 1:
            self._submit_new(client, message)
            return
        if not are_new:
            machine.put_nothing_off()  # it may name such a key
        new, known = [], []
        for index, key in enumerate(keys):
            task = tasks.get(key)
            if task is not None and not task.needed and self._is_another(task, index, message):
                machine.settle()  # nobody wanted its former meaning any more: now it has a new one
                task = tasks.get(key)
            if task is None or self._has_nothing(task):
                data = arguments[index]
                if task is None:
                    task = self._new_task(key, function, data, options, client)
                    wants[task] = 0
                else:
                    if task.state == ERRED:
                        machine.release(task)
                    self._want(client, task)
                    task.function = function
                    task.data = data
                    task.options = options
                    task.retries = options.retries
                    task.origin = client
                if sparse:
                    self._add_details(task, index, message)
                    if task.dependencies:
                        self._line_up(task, client.generation, task.order)
                if parent is not None:
                    task.place = parent.place - 1
                new.append(task)
            else:
                self._want(client, task)
                known.append(task)
        if new:  # before any is started, as a key that comes twice may be
            self._count_function(function, message.definition, len(new))
        for task in known:
            self._catch_up(client, task)
        if message.dependencies:
            for task in new:
                machine.start(task)
        else:
            machine.start_free(new)

    def _are_new(self, keys: list[Key]) -> bool:
        """True if they all are, and different."""
        return self._state.tasks.keys().isdisjoint(keys) and len(set(keys)) == len(keys)

    def _submit_new(self, client: SchedClient, message: SubmitTasks) -> None:
        """The same for many different keys that are all new, of tasks that need no others, as in most maps."""
        state, keys, function, options = self._state, message.keys, message.function, message.options
        retries, wanted = options.retries, client.only
        orders = range(state.orders + 1, state.orders + 1 + len(keys))
        state.orders = orders[-1]
        names = [key_prefix(key) for key in keys]
        prefixes = {}
        for name, count in tally(names).items():
            prefixes[name] = prefix = state.prefix(name)
            prefix.counts[RELEASED] += count
        tasks = [
            SchedTask(key, prefixes[name], order, order, RELEASED, function, data, (), options, retries, client, wanted)
            for order, key, name, data in zip(orders, keys, names, message.arguments, strict=True)
        ]
        state.tasks.update(zip(keys, tasks, strict=True))
        client.wants.update(dict.fromkeys(tasks, 0))
        self._count_function(function, message.definition, len(tasks))
        self._machine.start_free(tasks)

    def _parent(self, client: SchedClient, line: Line) -> SchedTask | None:
        """The task whose place those of a submission take, if a task submits them."""
        if line.new_generation:
            client.generation = self._state.orders
        return self._state.tasks.get(line.parent) if line.parent else None

    def _line_up(self, task: SchedTask, after: int, until: int) -> None:
        """Put a task where the last of those came that it needs, if that is in between."""
        place = max([one.place for one in task.dependencies if one.function is not None], default=0)
        if after < place <= until:
            task.place = place

    def _is_another(self, task: SchedTask, index: int, message: SubmitTasks) -> bool:
        """True unless the result is there already that this submission would compute."""
        if task.state != MEMORY or task.frames or index in message.frames:
            return True
        return task.function != message.function or task.data != message.arguments[index]

    def _has_nothing(self, task: SchedTask) -> bool:
        """True for a key that is known by name only: neither data nor a way to compute it."""
        if task.function is not None or task.key in self._state.scattering:
            return False
        return task.state in (RELEASED, ERRED)

    def _new_task(
        self,
        key: Key,
        function: FunctionId | None = None,
        data: bytes = b"",
        options: TaskOptions = NO_OPTIONS,
        client: SchedClient | None = None,
    ) -> SchedTask:
        """A task that a client wants, or, without one, a key that is known by name."""
        state = self._state
        state.orders = order = state.orders + 1
        prefix = state.prefix(key_prefix(key))
        prefix.counts[RELEASED] += 1
        wanted = NOBODY if client is None else client.only
        task = state.tasks[key] = SchedTask(
            key, prefix, order, order, RELEASED, function, data, (), options, options.retries, client, wanted
        )
        return task

    def _add_details(self, task: SchedTask, index: int, message: SubmitTasks) -> None:
        frames = message.frames.get(index)
        if frames:
            task.frames = tuple(frames)
        names = message.dependencies.get(index)
        if names:
            self._depend(task, names)

    def _depend(self, task: SchedTask, keys: list[Key]) -> None:
        task.dependencies = tuple(self._dependency(key) for key in dict.fromkeys(keys))
        for dependency in task.dependencies:
            if dependency.dependents is None:
                dependency.dependents = {task: None}
            else:
                dependency.dependents[task] = None

    def _dependency(self, key: Key) -> SchedTask:
        """The task behind a dependency; an unknown one is lost data: its dependents err by its name."""
        return self._state.tasks.get(key) or self._new_task(key)

    def _count_function(self, function: FunctionId, definition: Payload, tasks: int) -> None:
        record = self._state.functions.get(function)
        if record is None:
            record = self._state.functions[function] = FunctionRecord(definition)
        record.tasks += tasks

    def _want(self, client: SchedClient, task: SchedTask) -> None:
        if task not in client.wants:
            client.wants[task] = 0
            task.who_wants = including(task.who_wants, client)

    def _catch_up(self, client: SchedClient, task: SchedTask) -> None:
        """Tell a client at once what is known of a task that others have brought somewhere."""
        if task.state == MEMORY:
            self._machine.announce(client, [task])
        elif task.state == ERRED and task.failure is not None:
            self._outbox.to_client(client, KeyErred(task.key, task.failure, task.blamed, client.let_go))
        elif task.state == RELEASED:
            self._machine.start(task)

    def want(self, client: SchedClient, message: WantKeys) -> None:
        """The client rebuilt futures from their keys."""
        for key in message.keys:
            task = self._dependency(key)
            self._want(client, task)
            self._catch_up(client, task)

    def release(self, client: SchedClient, message: ReleaseKeys) -> None:
        """The client's last futures for these keys are gone."""
        self._outbox.let_go(client, len(message.keys))
        self._machine.unwant_keys(message.keys, client)

    def cancel(self, client: SchedClient, message: CancelKeys) -> None:
        """Cancel tasks and their dependents."""
        self._outbox.let_go(client, len(message.keys))
        roots = [task for key in message.keys if (task := self._state.tasks.get(key)) is not None]
        self._machine.cancel(roots, client, message.reason, message.msg, message.force)

    def retry(self, client: SchedClient, message: RetryKeys) -> None:
        """Run erred tasks again."""
        for key in message.keys:
            task = self._state.tasks.get(key)
            if task is not None and task.state == ERRED:
                self._machine.revive(task)

    def finish(self, client: SchedClient, message: FinishKeys) -> None:
        """Have tasks computed to their end even if nobody wants them any more."""
        keeper = self._state.keeper
        for key in message.keys:
            task = self._state.tasks.get(key)
            if task is not None and task.state not in (MEMORY, ERRED):
                self._want(keeper, task)

    # --- data ---

    def scatter(self, client: SchedClient, message: Scatter) -> None:
        """Give data to workers to hold; it counts as there once the first of them has it."""
        for item in message.items:
            task = self._state.tasks.get(item.key) or self._new_task(item.key)
            self._want(client, task)
            if message.broadcast:
                self._state.pinned[task] = None
            if task.state == MEMORY:
                self._machine.announce(client, [task])
                if not message.broadcast:
                    continue
            if task.state == ERRED:
                self._machine.release(task)
            self._state.scattering[item.key] = Scattering(item)
        keys = [item.key for item in message.items if item.key in self._state.scattering]
        self.place_scattered(keys, message.workers, message.broadcast)

    def place_scattered(self, keys: list[Key], names: list[str] | None = None, broadcast: bool = False) -> None:
        """Send data that nobody holds yet to workers, in turn; it waits here while there are none."""
        workers = self._running(names) if keys else None
        if not workers:
            return
        by_worker: dict[SchedWorker, list[Key]] = {}
        turn = cycle(sorted(workers, key=lambda worker: (worker.stored // _ABOUT_EQUAL, worker.turn)))
        for key in keys:
            targets = workers if broadcast else list(islice(turn, 1))
            for worker in targets:
                self._turns += 1
                worker.turn = self._turns
                by_worker.setdefault(worker, []).append(key)
        scattering = self._state.scattering
        for worker, chosen in by_worker.items():
            items = []
            for key in chosen:
                stamp = worker.putting[key] = self._state.tasks[key].order
                scattering[key].targets.add(worker.name)
                items.append(replace(scattering[key].item, stamp=stamp))
            self._outbox.to_worker(worker, PutData(items))

    def _running(self, names: list[str] | None) -> list[SchedWorker]:
        workers = [w for w in self._state.workers.values() if w.status == Status.RUNNING]
        if names:
            chosen = frozenset(names)
            workers = [worker for worker in workers if is_named(worker, chosen)]
        return workers

    def locate(self, client: SchedClient, message: Locate) -> None:
        """Say where results are."""
        items = []
        for key in message.keys:
            task = self._state.tasks.get(key)
            if task is not None and task.state == MEMORY:
                holders = [worker.address for worker in task.who_has]
                items.append(Location(key, task.payload, holders, task.nbytes))
        self._outbox.to_client(client, Located(message.request, items))

    def find_receivers(self, client: SchedClient, message: FindReceivers) -> None:
        """Say which workers take large data and have it shared with all of this host: the least busy ones first."""
        able = [w for w in self._state.workers.values() if w.shares and w.status in (Status.RUNNING, Status.PAUSED)]
        able.sort(key=lambda worker: worker.executing)
        self._outbox.to_client(client, Receivers(message.request, [worker.address for worker in able]))

    def report_missing(self, client: SchedClient, message: ReportMissing) -> None:
        """A client could not fetch what a worker was said to hold."""
        for missing in message.missing:
            task = self._state.tasks.get(missing.key)
            worker = self._state.by_address.get(missing.holder)
            if task is not None and worker is not None and worker in task.who_has:
                self._outbox.free(worker, task.key)
                self._machine.lose_replica(task, worker)
