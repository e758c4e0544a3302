"""Which worker runs what: queues, prefetching and stealing.

Theory
- A task whose data is small, or in memory that all workers share, may run anywhere: it waits in a *lane*, in
  priority order, and goes to whichever worker has room. A task with other large dependencies goes at once to the
  worker where it can start soonest, data transfer counted.
- A worker *has room* while it has fewer tasks than threads plus one, or less work than ``prefetch`` seconds
  ahead. So no-op tasks travel a thousand at a time, while of long tasks each thread has one running and the
  worker one spare.
- Tasks of lower priority take nobody's room: a worker that is full of them gets an urgent one all the same, and runs it
  next. Unless it has many: those are short, and the urgent one waits its turn.
- Of workers that are idle, the one that was last at work gets the next task, if it comes alone: its memory is in the
  processor's caches, and the processor has not fallen asleep. But results that are kept are to be spread. So after a
  large one, or an actor, it is the last in line, and also while it holds 1,000 results more than the first in line.
- A worker without work, and nothing queued: it takes half of what another has not started. One recall per
  victim at a time; what comes back is queued and flows to whoever has room by then.
- A run that is given up while it is under way cannot be stopped: its thread may be busy with it for long, and nobody
  tells. Until such a *doubtful* worker has shown that a thread of its is free, others get tasks first, and workers that
  are idle may take all that it has not started.
- There is a lane per set of constraints (``lanes.py``); tasks that nobody connected can run simply wait in it.
  Priority and age count across lanes.
- What a decision costs does not depend on how many workers there are: of many that would do, a few are looked at.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import islice

from nbcluster.protocol.messages import ComputeTask, Dependency, RecallTasks, TaskDone, TaskOptions
from nbcluster.scheduler.lanes import Lane, Lanes, is_named, lane_apart
from nbcluster.scheduler.outbox import Outbox
from nbcluster.scheduler.state import NO_OPTIONS, PROCESSING, QUEUED, SchedTask, SchedulerState, SchedWorker
from nbcluster.types import FunctionId, Status

_RUNNING = Status.RUNNING
_VICTIMS_EXAMINED = 8
_HOLDERS_EXAMINED = 8
_OVERTAKEN_EXAMINED = 8
_AT_ONCE = 32
"""So many short tasks are given to a worker at a time, at most, before the next gets some."""

_FEW = 8
"""So many tasks for each thread, or fewer, may be long."""

_MORE_HELD = 1000
"""So many results more than the next one a worker may hold, and still be the first in line."""


class Placement:
    """Assigns queued tasks to workers; the only one that touches ``processing`` and occupancy."""

    def __init__(self, state: SchedulerState, outbox: Outbox) -> None:
        self._state = state
        self._outbox = outbox
        self._settings = state.settings
        self._lanes = Lanes(state)
        self._idle = self._lanes.everybody.idle
        self._open = self._lanes.everybody.open
        self._busy: OrderedDict[SchedWorker, None] = OrderedDict()
        """Those that may have tasks that they have not started; whom to steal from next comes first."""
        self._lowest: float = 0
        """The lowest priority of all tasks so far, negative as in the lanes: if all have the same, none is urgent."""
        self.examined = 0
        """How many candidates were looked at so far: what placement does, in a figure that no clock disturbs."""

    # --- queueing ---

    def enqueue(self, task: SchedTask) -> None:
        """Take a task that can run: place it now where its data is, or queue it."""
        options = task.options
        if task.dependencies and not options.resources and self._has_large_data(task):
            worker = self._nearest(task)
            if worker is not None:
                self._assign([task], worker)
                return
        self._lane(options).backlog.push(-options.priority, (task,))

    def enqueue_free(self, tasks: list[SchedTask]) -> None:
        """The same for many that need no others, and have the same options."""
        if tasks:
            options = tasks[0].options
            self._lane(options).backlog.push(-options.priority, tasks)

    def _lane(self, options: TaskOptions) -> Lane:
        return self._lanes.lane(options) if options.workers or options.resources else self._lanes.any

    def fill(self) -> None:
        """Hand queued tasks to workers that have room; then let idle workers take from busy ones."""
        idle, open_, lanes = self._idle, self._open, self._lanes
        if lanes.active:
            self._fill_from_lanes()
            self._overtake()
        else:
            backlog = lanes.any.backlog
            while idle or open_:
                first = backlog.pop()
                if first is None:
                    break
                self.examined += 1
                worker = next(iter(idle or open_))
                more = self._room_for_more(first, worker)
                self._assign([first, *backlog.more_like(first, more)] if more > 0 else [first], worker)
            else:
                self._overtake()
        if lanes.by_signature:
            lanes.sweep()
        if idle and self._busy:
            self._steal()

    def _fill_from_lanes(self) -> None:
        """Take from all lanes that might find a worker, in the order of their first tasks."""
        every = self._lanes
        self.examined += len(every.active)
        some = [lane for lane in list(every.active) if not every.drop_if_empty(lane)]
        some.append(every.any)
        lanes = [(first[:2], number, lane) for number, lane in enumerate(some) if (first := lane.backlog.first())]
        heapify(lanes)
        while lanes:
            _, number, lane = heappop(lanes)
            worker = self._room_in(lane)
            if worker is None:
                if lane is not every.any:
                    every.stick(lane)
                continue
            task = lane.backlog.pop()
            assert task is not None
            self._assign([task], worker)
            if first := lane.backlog.first():
                heappush(lanes, (first[:2], number, lane))
            elif lane is not every.any:
                every.drop_if_empty(lane)

    def _room_in(self, lane: Lane) -> SchedWorker | None:
        """Who takes the lane's first task now: one that a restriction names, if it has room."""
        pool = lane.pool
        if lane.workers is not None:
            named = self._lanes.named(lane.workers)
            self.examined += len(named)
            for group in (pool.idle, pool.open):
                with_room = [worker for worker in named if worker in group]
                if with_room:
                    return min(with_room, key=_load)
            if lane.strict:
                return None
        self.examined += 1
        return pool.first()

    def _overtake(self) -> None:
        """Hand urgent tasks to workers that would have room without their tasks of lower priority."""
        backlog = self._lanes.any.backlog
        while (first := backlog.first()) is not None and first[0] < self._lowest:
            worker = self._overtaken(first[0])
            if worker is None:
                return
            backlog.pop()
            self._assign([first[2]], worker)

    def _overtaken(self, rank: float) -> SchedWorker | None:
        for worker in islice(self._busy, _OVERTAKEN_EXAMINED):
            runs, waiting = worker.processing, worker.long_running
            self.examined += 1
            if worker.doubtful or len(runs) - len(waiting) > _FEW * worker.nthreads:
                continue
            before = sum(1 for run, task in runs.items() if -task.options.priority <= rank and run not in waiting)
            if before <= worker.nthreads:
                return worker
        return None

    # --- data locality ---

    def _has_large_data(self, task: SchedTask) -> bool:
        return any(d.who_has and self._must_move(d) for d in task.dependencies)

    def _must_move(self, needed: SchedTask) -> bool:
        """True if a worker that does not hold it has to ask for it: it is large and not shared, or not picklable."""
        limit, payload = self._settings.inline_limit, needed.payload
        if payload is None:
            return True
        return needed.nbytes > limit and (not payload.is_shared or payload.sent_nbytes > limit)

    def _nearest(self, task: SchedTask) -> SchedWorker | None:
        """The worker on which the task could start soonest: one with its data, or one that has room."""
        options = task.options
        candidates: dict[SchedWorker, None] = {}
        if options.workers:
            candidates = self._lanes.named(frozenset(options.workers))
        if not candidates and (not options.workers or options.allow_other_workers):
            for dependency in task.dependencies:
                candidates.update(dict.fromkeys(_some(dependency.who_has)))
            candidates.update(dict.fromkeys(islice(self._idle or self._open, 1)))
        self.examined += len(candidates)
        running = [worker for worker in candidates if worker.status == Status.RUNNING]
        if not running:
            return None
        running = [worker for worker in running if not worker.doubtful] or running
        return min(running, key=lambda worker: (self._start_time(task, worker), str(worker.name)))

    def _start_time(self, task: SchedTask, worker: SchedWorker) -> float:
        least = self._settings.inline_limit
        missing = sum(max(d.nbytes, least) for d in task.dependencies if worker not in d.who_has and self._must_move(d))
        return _load(worker) + missing / self._settings.bandwidth

    # --- assigning ---

    def _room_for_more(self, first: SchedTask, worker: SchedWorker) -> int:
        """How many tasks of its name a worker may be given together with the first of them.

        None while others may have no task at all, and so few that each gets its share.
        """
        mean, nthreads, settings = first.prefix.mean, worker.nthreads, self._settings
        if mean is None or self._idle:
            return 0
        count = len(worker.processing) - len(worker.long_running)
        work = nthreads * settings.prefetch - worker.occupancy
        share = self._lanes.any.backlog.next_in_turn // (2 * len(self._open))
        return int(min(work / mean, nthreads * settings.most_ahead - count, share, _AT_ONCE)) - 1

    def _assign(self, tasks: list[SchedTask], worker: SchedWorker) -> None:
        state, processing, functions = self._state, worker.processing, worker.functions
        unknown, occupancy, run_id = self._settings.unknown_duration, worker.occupancy, state.run_ids
        state.story.note_all(state.now, [task.key for task in tasks], (QUEUED, PROCESSING), state.stimulus)
        prefix, options, function = None, NO_OPTIONS, b""
        estimate, rank, counts = unknown, 0.0, list[int]()
        runs = []
        for task in tasks:
            run_id += 1
            if task.prefix is not prefix or task.options is not options or task.function is not function:
                assert task.function is not None  # most are of one submission, so we are seldom here
                prefix, options, function = task.prefix, task.options, task.function
                estimate = unknown if prefix.mean is None else prefix.mean
                counts, rank = prefix.counts, -options.priority
                if rank > self._lowest:
                    self._lowest = rank
                if function not in functions:
                    self._define(function, worker)
            occupancy += estimate
            task.estimate = estimate
            task.run_id = run_id
            task.processing_on = worker
            counts[QUEUED] -= 1
            counts[PROCESSING] += 1
            task.state = PROCESSING
            processing[run_id] = task
            if options.resources:
                for name, amount in options.resources.items():
                    if amount:
                        worker.available[name] -= amount
            needs = self._dependencies(task, worker) if task.dependencies else ()
            runs.append(
                ComputeTask(
                    task.key, run_id, function, task.data, (rank, task.place), needs, task.frames, options.actor
                )
            )
        state.run_ids = run_id
        worker.occupancy = occupancy
        self._outbox.compute(worker, runs)
        self._sort(worker)

    def _define(self, function: FunctionId, worker: SchedWorker) -> None:
        record = self._state.functions[function]
        record.workers[worker] = None
        worker.functions.add(function)
        self._outbox.define(worker, function, record.definition)

    def _dependencies(self, task: SchedTask, worker: SchedWorker) -> tuple[Dependency, ...]:
        limit = self._settings.inline_limit
        dependencies = []
        for needed in task.dependencies:
            holders = needed.who_has
            payload = needed.payload
            if worker in holders:
                dependencies.append(Dependency(needed.key, None, [worker.address], needed.nbytes))
            elif payload is not None and (not holders or payload.is_live or payload.sent_nbytes <= limit):
                dependencies.append(Dependency(needed.key, payload, [], needed.nbytes))
            else:
                addresses = [holder.address for holder in _some(holders)]
                dependencies.append(Dependency(needed.key, None, addresses, needed.nbytes))
        return tuple(dependencies)

    def succeeded(self, worker: SchedWorker, items: list[TaskDone]) -> list[tuple[SchedTask, TaskDone]]:
        """Runs of a worker are over: give their shares of it back, and learn how long tasks of their names take.

        Returns those that it was to run, and has not reported before, each with its task.
        """
        processing, long_running, least = worker.processing, worker.long_running, self._settings.least_duration
        occupancy = worker.occupancy
        runs = []
        for done in items:
            run_id = done.run_id
            task = processing.pop(run_id, None)
            if task is None:
                continue
            runs.append((task, done))
            if long_running:
                long_running.pop(run_id, None)
            task.processing_on = None
            estimate = task.estimate
            resources = task.options.resources
            if resources:
                self._give_back(resources, worker)
            if estimate:  # else it has waited for others
                occupancy -= estimate
                duration = done.stop - done.start
                if duration < least:
                    duration = least
                prefix = task.prefix
                mean = prefix.mean
                prefix.mean = duration if mean is None else mean + 0.2 * (duration - mean)
        worker.occupancy = max(0.0, occupancy) if processing else 0.0
        return runs

    def _give_back(self, resources: Mapping[str, float], worker: SchedWorker) -> None:
        for name, amount in resources.items():
            if amount:
                worker.available[name] += amount

    def finished(self, task: SchedTask) -> SchedWorker:
        """A run is over, and came to nothing: give its share of the worker back."""
        worker = task.processing_on
        assert worker is not None
        del worker.processing[task.run_id]
        if worker.long_running:
            worker.long_running.pop(task.run_id, None)
        worker.occupancy = max(0.0, worker.occupancy - task.estimate) if worker.processing else 0.0
        self._give_back(task.options.resources, worker)
        task.processing_on = None
        return worker

    def seceded(self, task: SchedTask, worker: SchedWorker) -> None:
        """A run occupies no thread any more, and nobody knows for how long."""
        worker.long_running[task.run_id] = task
        worker.occupancy = max(0.0, worker.occupancy - task.estimate)
        task.estimate = 0.0

    # --- workers ---

    def resort(self, worker: SchedWorker, *, again: bool = False) -> None:
        """Look again at whether a worker is idle, open or busy.

        Args:
            worker: which; last in line for the next task from now on.
            again: it may be the first in line, if it has nothing to do and holds no more than others.
        """
        self._sort(worker, again=again)

    def _sort(self, worker: SchedWorker, *, again: bool = False) -> None:
        """Put a worker into the sets it belongs to now; last in line, or first: see ``resort``."""
        if worker.status is not _RUNNING:
            self.remove(worker)
            return
        settings, nthreads = self._settings, worker.nthreads
        count = len(worker.processing) - len(worker.long_running)
        idle = count < nthreads and not worker.doubtful
        open_ = count <= nthreads or (
            worker.occupancy < nthreads * settings.prefetch and count < nthreads * settings.most_ahead
        )
        if worker.resources or self._lanes.by_signature:
            self._lanes.sort(worker, idle=idle, open_=open_)
        else:
            last = not (again and count == 0 and self._holds_no_more(worker))
            for workers, belongs in ((self._idle, idle), (self._open, open_)):
                if belongs:
                    workers[worker] = None
                    workers.move_to_end(worker, last)
                elif workers:
                    workers.pop(worker, None)
        if count > nthreads or (worker.doubtful and count):
            self._busy[worker] = None
        else:
            self._busy.pop(worker, None)

    def _holds_no_more(self, worker: SchedWorker) -> bool:
        """True if a worker holds about as many results as the one that is the first in line."""
        first = next(iter(self._idle), worker)
        return len(worker.holds) <= len(first.holds) + _MORE_HELD

    def remove(self, worker: SchedWorker) -> None:
        """A worker left, or takes no more tasks."""
        self._lanes.remove(worker)
        self._busy.pop(worker, None)

    # --- stealing ---

    def _steal(self) -> None:
        """Recall half of what the busiest of a few victims has not started."""
        victims = [w for w in islice(self._busy, _VICTIMS_EXAMINED) if w.recalling is None]
        self.examined += len(victims)
        if not victims:
            return
        thief = next(iter(self._idle))
        victim = max(victims, key=_spare)
        self._busy.move_to_end(victim)
        spare = _spare(victim)
        not_started = (t for t in reversed(victim.processing.values()) if t.run_id not in victim.long_running)
        latest = islice(not_started, spare if victim.doubtful else (spare + 1) // 2)
        self.examined += spare
        run_ids = [task.run_id for task in latest if self._worth_moving(task, victim, thief)]
        if run_ids:
            self._recall(victim, run_ids)
        else:
            self._idle.move_to_end(thief)  # there may be something for the next one

    def _worth_moving(self, task: SchedTask, victim: SchedWorker, thief: SchedWorker) -> bool:
        if task.options.workers and not is_named(thief, frozenset(task.options.workers)):
            return False
        if any(thief.available.get(name, 0) < amount for name, amount in task.options.resources.items()):
            return False  # it would come straight back
        if victim.doubtful or not task.dependencies:
            return True
        return self._start_time(task, thief) < self._start_time(task, victim)

    def recall_all(self, worker: SchedWorker) -> None:
        """Ask for everything back that a worker has not started."""
        if worker.processing:
            self._recall(worker, list(worker.processing))

    def _recall(self, victim: SchedWorker, run_ids: list[int]) -> None:
        self._state.recalls = request = self._state.recalls + 1
        victim.recalling = request
        self._outbox.to_worker(victim, RecallTasks(run_ids, request))

    # --- figures ---

    @property
    def all_idle(self) -> bool:
        """True if every worker has room for tasks, and a thread of each nothing to do."""
        return len(self._idle) == len(self._state.workers)

    def queued(self) -> Iterator[SchedTask]:
        """All tasks in the lanes, in no particular order."""
        for lane in self._lanes:
            yield from lane

    def is_placeable(self, task: SchedTask) -> bool:
        """True if a connected worker could ever run this task."""
        lane = lane_apart(task.options)
        return any(lane.allows(worker) for worker in self._state.workers.values())

    def unplaceable_tasks(self) -> Iterator[SchedTask]:
        """The queued tasks that no connected worker could ever run."""
        workers = self._state.workers.values()
        for lane in self._lanes:
            if not any(lane.allows(worker) for worker in workers):
                yield from lane

    def unplaceable(self) -> int:
        """How many queued tasks no connected worker could ever run."""
        return sum(1 for _ in self.unplaceable_tasks())


def _spare(worker: SchedWorker) -> int:
    """How many tasks it may not have started."""
    return len(worker.processing) - len(worker.long_running) - (0 if worker.doubtful else worker.nthreads)


def _load(worker: SchedWorker) -> float:
    """Seconds until it could start with one more task."""
    return worker.occupancy / worker.nthreads


def _some(holders: Mapping[SchedWorker, None]) -> list[SchedWorker]:
    """A few of these workers, and next time others."""
    if not isinstance(holders, OrderedDict):
        return list(holders)
    some = list(islice(holders, _HOLDERS_EXAMINED))
    for worker in some:
        holders.move_to_end(worker)
    return some
