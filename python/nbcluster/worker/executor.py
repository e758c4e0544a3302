"""The threads that run tasks.

    loop ── submit() ──▶ queue ──▶ thread: runner.run() ──▶ deque ──▶ loop: deliver()

Rules
1. One lock guards the queue and the list of threads that have nothing to do. Nobody waits while holding it.
2. The loop is woken once for all outcomes that gather before it looks: per batch, not per task. A small result that is
   alone, with no more to run, wakes it not at all: the thread itself tells the scheduler, and the loop hears of it
   when it next has to do with results, by ``collect``. It may even have read the task itself (``own_reading``).
3. A thread survives whatever its task raises. Threads are daemons: one that hangs keeps nobody from leaving.
4. What a task costs beyond its own call is paid in the thread (``runner.py``), so that the loop stays quick.
5. A thread runs tasks as long as it has a seat (``seats.py``). One whose task has given it up ends with the task.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from nbcluster.comm.loop import wait_for_latch
from nbcluster.protocol.messages import ComputeTask, TaskDone, TaskRejoined, TaskSeceded
from nbcluster.types import RunId
from nbcluster.worker import context
from nbcluster.worker.events import Finished, Outcome
from nbcluster.worker.run_queue import Entry, Inputs, RunQueue
from nbcluster.worker.runner import Runner
from nbcluster.worker.seats import Seat, Seats

logger = logging.getLogger(__name__)

TELL_LIMIT = 4096
"""Bytes of a pickled result up to which its thread itself may tell the scheduler of it."""

IDLE_ENDS_WITHIN = 1.0
"""Seconds. A thread that is in no task ends as soon as it is let to: this is a bound, never reached."""

MOST_UNHEARD = 64
"""Outcomes that the loop has not heard of, at most: it is woken for the next, for their results are still in memory."""


class AtWork(NamedTuple):
    """A thread that runs a task."""

    run_id: RunId
    since: float
    """By the monotonic clock."""
    ident: int
    """The thread, by its identity and by its name."""
    thread: str
    waits: bool = False
    """It waits for other tasks, or has just ended its own."""


class Recorder(Protocol):
    """Remembers, where it outlives this process, what each thread runs."""

    def enter(self, thread: int, run_id: RunId) -> None:
        """A thread begins a run."""

    def leave(self, thread: int) -> None:
        """A thread has ended its run."""

    def pause(self, thread: int) -> None:
        """A thread waits: whatever happens meanwhile, its run is not to blame."""


class Reader(Protocol):
    """Reads tasks in the thread that runs them."""

    @property
    def is_lent(self) -> bool:
        """Whether it may do so now. Never true before all that was read elsewhere is here."""

    def next_task(self) -> ComputeTask | None:
        """Wait for the next task; None if it is to be waited for elsewhere."""


class NoRecorder:
    """For workers that cannot die alone."""

    def enter(self, thread: int, run_id: RunId) -> None:
        """Nothing to remember."""

    def leave(self, thread: int) -> None:
        """Nothing to forget."""

    def pause(self, thread: int) -> None:
        """Nothing to forget."""


class Executor:
    """Runs tasks in threads of its own.

    Args:
        nthreads: how many tasks run at a time.
        runner: runs each of them in its thread.
        deliver: called on the loop with runs that ended, in the order in which they did.
        recorder: is told what each thread runs.
        tell: reports a success from its thread, if it can, and calls back before it does.
        reader: reads the next task in the thread that is to run it, while it is lent the link; else tasks come by
            ``submit`` alone.
    """

    def __init__(
        self,
        nthreads: int,
        runner: Runner,
        deliver: Callable[[list[Outcome]], None],
        *,
        recorder: Recorder | None = None,
        tell: Callable[[TaskDone, Callable[[], None]], bool] | None = None,
        reader: Reader | None = None,
    ) -> None:
        self.nthreads = nthreads
        self._runner = runner
        self._deliver = deliver
        self._recorder = recorder or NoRecorder()
        self._tell = tell
        self._reader = reader
        self._most_unheard = 1 if reader is None else MOST_UNHEARD
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._queue = RunQueue()
        self._idle: list[threading.Lock] = []
        self._seats = Seats(nthreads)
        self._running: list[RunId | None] = [None] * nthreads
        """By the number of the thread."""
        self._seated: dict[int, tuple[Seat, threading.Thread]] = {}
        """All of them, those too that wait in a task."""
        self._outcomes: deque[Outcome] = deque()
        self._wake_pending = False
        self._closed = False
        self._threads = [self._thread(number) for number in range(nthreads)]
        for thread in self._threads:
            thread.start()

    def _thread(self, number: int) -> threading.Thread:
        seat = Seat(self, number)
        return threading.Thread(target=self._work, args=(seat,), name=f"nbcluster-task-{number}", daemon=True)

    @property
    def executing(self) -> int:
        """How many tasks are running."""
        running = self._running
        return len(running) - running.count(None)

    @property
    def is_parked(self) -> bool:
        """True if a thread has nothing to do and waits for ``submit``."""
        with self._lock:
            return bool(self._idle)

    @property
    def unheard(self) -> bool:
        """True if threads have done something that the loop has not heard of."""
        return bool(self._outcomes)

    @property
    def queued(self) -> int:
        """How many have not started."""
        return len(self._queue)

    def at_work(self) -> list[AtWork]:
        """The threads that run tasks, or wait in one, as they were a moment ago. Any thread may ask.

        One that has just ended its task may be among them: its stack tells.
        """
        running = self._running
        return [
            AtWork(seat.run_id, seat.since, thread.ident or 0, thread.name, running[number] is None)
            for number, (seat, thread) in list(self._seated.items())
            if seat.run_id
        ]

    # --- on the loop ---

    def submit(self, tasks: Iterable[tuple[ComputeTask, Inputs | None]]) -> None:
        """Queue runs: smaller priorities first, older run ids first among equals."""
        push = self._queue.push
        with self._lock:
            push(tasks)
            idle = self._idle
            awake = [idle.pop() for _ in range(min(len(idle), len(self._queue)))]
        for parked in awake:
            parked.release()

    def recall(self, run_ids: Iterable[RunId]) -> list[RunId]:
        """Take runs out of the queue. Returns those that had not started."""
        with self._lock:
            return self._queue.withdraw(run_ids)

    def close(self) -> None:
        """Run nothing more. Threads that are in a task end after it, unheard. Idempotent."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._seats.close()
            awake, self._idle = self._idle, []
        for parked in awake:
            parked.release()

    def join_idle(self) -> None:
        """Wait for those threads that are in no task, after ``close``: a moment."""
        seated = list(self._seated.items())
        in_tasks = {thread for number, (seat, thread) in seated if self._running[number] is not None or seat.seceded}
        end = time.monotonic() + IDLE_ENDS_WITHIN
        for thread in {*self._threads, *(thread for _, (_, thread) in seated)} - in_tasks:
            thread.join(max(0.0, end - time.monotonic()))

    def note(self, outcome: Outcome) -> None:
        """Deliver this too, in turn. From any thread; wakes nobody."""
        self._outcomes.append(outcome)

    def collect(self) -> None:
        """Deliver what has ended. Whoever is about to look at results calls it, for what was told wakes nobody."""
        if self._outcomes:
            self._collect()

    def _collect(self) -> None:
        self._wake_pending = False  # first: what is appended from now on wakes us again
        outcomes = self._outcomes
        batch = [outcomes.popleft() for _ in range(len(outcomes))]
        if batch and not self._closed:
            self._deliver(batch)

    # --- in the threads ---

    def _work(self, seat: Seat) -> None:
        context.sit(seat, self._runner.worker)
        self._seated[seat.number] = seat, threading.current_thread()
        try:
            self._run_all(seat)
        finally:
            self._seated.pop(seat.number, None)
            with self._lock:
                self._seats.give_back(seat.number)

    def _run_all(self, seat: Seat) -> None:
        runner, recorder, running, thread = self._runner, self._recorder, self._running, seat.number
        while True:
            entry = self._next(seat)
            if entry is None:
                return
            _, run_id, task, inputs = entry
            running[thread] = seat.run_id = run_id
            recorder.enter(thread, run_id)
            try:
                outcome = runner.run(seat, task, inputs)
            except BaseException:  # not even its failure could be told: memory is short
                outcome = runner.untold(seat, task)
            recorder.leave(thread)
            running[thread] = None
            if not self._report(outcome, seat) or not seat.taken:
                return
            seat.seceded = False
            del entry, task, inputs, outcome  # an idle thread keeps nothing alive

    def _report(self, outcome: Outcome, seat: Seat) -> bool:
        """Tell an outcome, if it is alone, or have it delivered. False if nobody wants to know any more."""
        if self._wake_pending:
            self._outcomes.append(outcome)
            return True
        if not seat.seceded and self._told(outcome):
            return True
        self._outcomes.append(outcome)
        return self._wake()

    def _told(self, outcome: Outcome) -> bool:
        """Tell the scheduler of an outcome, if it is one that may be told from here."""
        if self._tell is None or type(outcome) is not Finished or self._queue:
            return False
        if len(self._outcomes) >= self._most_unheard:
            return False
        payload = outcome.done.payload
        if payload is None or payload.frames or len(payload.data) > TELL_LIMIT:
            return False
        told = Finished(outcome.done, outcome.value, True)
        return self._tell(outcome.done, lambda: self._outcomes.append(told))

    def _wake(self) -> bool:
        self._wake_pending = True
        try:
            self._loop.call_soon_threadsafe(self._collect)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _next(self, seat: Seat) -> Entry | None:
        may_read = len(self._seated) == 1  # others would have to reach a thread that reads
        while True:
            with self._lock:
                if self._seats.wanted:
                    self._seats.hand_over(seat)
                    return None
                entry = self._queue.pop()
                if self._closed:
                    return None
                if entry is not None:
                    return entry
                # What came before the link was lent was queued before that, so there is nothing more of it.
                reader = self._reader if may_read and self._reader is not None and self._reader.is_lent else None
                if reader is None:
                    parked = threading.Lock()
                    parked.acquire()
                    self._idle.append(parked)
            if reader is None:
                parked.acquire()
            elif (task := reader.next_task()) is None:
                may_read = False
            elif not self._closed:
                return task.priority, task.run_id, task, None

    # --- seats ---

    def secede(self, seat: Seat, waiting: bool) -> bool:
        """Have another thread run tasks in place of this one. False if one does already, or none can."""
        if waiting:
            self._running[seat.number] = None
            self._recorder.pause(seat.number)
        with self._lock:
            number = self._seats.number() if seat.taken and not self._closed else None
            if number is None:
                return False
            seat.taken = False
            self._running.extend([None] * (number + 1 - len(self._running)))
        seat.seceded = True
        self._outcomes.append(TaskSeceded(seat.key, seat.run_id))
        try:
            self._loop.call_soon_threadsafe(self._collect)
            self._loop.call_soon_threadsafe(self._replace_soon, seat, number)
        except RuntimeError:  # the loop is closed
            seat.taken = True
            return False
        return True

    def _replace_soon(self, seat: Seat, number: int) -> None:
        """On the loop: first the scheduler is told, in case that what runs next ends this process."""
        self._loop.call_soon(self._loop.call_soon, self._replace, seat, number)

    def _replace(self, seat: Seat, number: int) -> None:
        """On the loop: a new thread takes a seat that was given up."""
        try:
            if not self._closed:
                self._thread(number).start()
        except RuntimeError as error:  # the system gives no more threads
            logger.warning("%s keeps its thread while it waits: %s", seat.key, error)
            with self._lock:
                self._seats.give_back(number)
                seat.taken = True
                if self._seats.wanted:
                    self._seats.hand_over(seat)

    def rejoin(self, seat: Seat) -> None:
        """Wait until one of the other threads gives its seat to this one."""
        with self._lock:
            if seat.taken:
                return
            latch = None if self._closed else self._seats.want(seat)
            idle = self._idle.pop() if self._idle and latch is not None else None
        if idle is not None:
            idle.release()
        if latch is not None:
            wait_for_latch(latch)
        self.resume(seat)
        if latch is not None:
            self._outcomes.append(TaskRejoined(seat.key, seat.run_id))
            self._wake()

    def resume(self, seat: Seat) -> None:
        """A thread that waited computes again, with a seat or without."""
        self._running[seat.number] = seat.run_id
        self._recorder.enter(seat.number, seat.run_id)
