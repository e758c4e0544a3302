"""Runs one task in the thread that it is given: unpickles the call, calls, measures, pickles.

    ComputeTask + inputs ──▶ run() ──▶ Finished · TaskErred · TaskRescheduled · InputsLost

Whatever the task does becomes an outcome. Which task is run when, and who is told, is the executor's matter.
"""

from __future__ import annotations

import logging
import time
import types
from collections.abc import Callable, Iterable
from typing import Any

from nbcluster.errors import Reschedule, SerializationError, SharedDataGoneError
from nbcluster.protocol.exceptions import describe, dump_exception, stand_in
from nbcluster.protocol.messages import ComputeTask, TaskDone, TaskErred, TaskRescheduled
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import dump, load, load_call
from nbcluster.protocol.sizeof import sizeof
from nbcluster.protocol.typenames import type_name
from nbcluster.store.memory import Datum
from nbcluster.store.spill import SpillError
from nbcluster.types import Key
from nbcluster.worker.coroutines import CoroutineLoop
from nbcluster.worker.current import CurrentWorker
from nbcluster.worker.events import Finished, InputsLost, Outcome
from nbcluster.worker.functions import FunctionTable
from nbcluster.worker.run_queue import Inputs
from nbcluster.worker.seats import Seat

logger = logging.getLogger(__name__)

INLINE_LIMIT = 64 * 1024
"""Results up to this size travel with the report of their completion."""

_NO_VALUES: Inputs = {}


class Runner:
    """Turns tasks into outcomes, for all threads of a worker.

    Args:
        functions: the functions that tasks name.
        coroutines: runs those tasks that are coroutine functions.
        live: results stay in this process, so they are handed over as they are; and arguments, which others
            in this process may hold too, are copied.
        on_task_end: called in the thread when a task has ended, before its outcome is known.
        on_large: called in the thread with the bytes of a result that takes much memory, before its outcome is
            known: it may wait.
        worker: what tasks may know of their worker.
    """

    def __init__(
        self,
        functions: FunctionTable,
        coroutines: CoroutineLoop,
        *,
        live: bool = False,
        on_task_end: Callable[[], None] | None = None,
        on_large: Callable[[int], None] | None = None,
        worker: CurrentWorker | None = None,
    ) -> None:
        self.worker = worker
        self._functions = functions
        self._coroutines = coroutines
        self._live = live
        self._on_task_end = on_task_end
        self._on_large = on_large
        self._epoch = time.time() - time.monotonic()
        """Added to the monotonic clock: moments for people, durations that no clock change spoils."""
        self._untold = dump_exception(MemoryError("the task failed, and there was no memory to tell how"))

    def run(self, seat: Seat, task: ComputeTask, inputs: Inputs | None) -> Outcome:
        """Run a task in this thread, which has this seat. Raises only if memory is short: then :meth:`untold`."""
        key, run_id = task.key, task.run_id
        monotonic = time.monotonic
        seat.key = key
        seat.since = start = monotonic()
        try:
            function = self._functions.get(task.function)
            values = _NO_VALUES if inputs is None else _load_inputs(inputs)
            frames = _copy_frames(task.frames) if task.frames and self._live else task.frames
            args, kwargs = load_call(task.data, frames, values)
            value = function(*args, **kwargs)
            if type(value) is types.CoroutineType:
                value = self._coroutines.run(value, self._on_task_end)
            kind = type(value)
            if task.actor and self.worker is not None:
                value = self.worker.make_actor(key, value)
            stop = monotonic()
            nbytes = sizeof(value)
            payload = self._inline(value, nbytes)
            if nbytes > INLINE_LIMIT and self._on_large is not None:
                self._on_large(nbytes)
            done = TaskDone(
                key,
                run_id,
                nbytes,
                type_name(kind),
                seat.number,
                start + self._epoch,
                stop + self._epoch,
                payload,
            )
            return Finished(done, value)
        except Reschedule:
            return TaskRescheduled(key, run_id)
        except _InputsLost as error:
            return InputsLost(key, run_id, error.keys)
        except BaseException as error:
            return self._erred(seat.number, task, error, start, monotonic())
        finally:
            if self._on_task_end is not None:
                self._on_task_end()
            seat.key = ""

    def untold(self, seat: Seat, task: ComputeTask) -> TaskErred:
        """The outcome of a task of which not even its failure could be told."""
        return TaskErred(task.key, task.run_id, self._untold, "MemoryError", seat.number, 0.0, 0.0)

    def _inline(self, value: Any, nbytes: int) -> Payload | None:
        if self._live:
            return Payload.of_live(value)
        if nbytes > INLINE_LIMIT:
            return None
        try:
            payload = dump(value, "result", in_band=True)
        except SerializationError:  # tasks of this worker can use it all the same; whoever else wants it is told why
            return None
        return payload if len(payload.data) <= INLINE_LIMIT else None

    def _erred(self, thread: int, task: ComputeTask, error: BaseException, start: float, stop: float) -> TaskErred:
        # SystemExit and its like would end whoever asks for the result.
        shown = error if isinstance(error, Exception) else stand_in(error)
        start, stop = start + self._epoch, stop + self._epoch
        return TaskErred(task.key, task.run_id, dump_exception(shown), describe(error), thread, start, stop)


class _InputsLost(Exception):
    def __init__(self, keys: list[Key]) -> None:
        super().__init__(keys)
        self.keys = keys


def _load_inputs(inputs: Inputs) -> Inputs:
    values: Inputs = {}
    lost: list[Key] = []
    for key, source in inputs.items():
        try:
            values[key] = source.load() if isinstance(source, Datum) else load(source, f"result of {key}")
        except (SpillError, SharedDataGoneError) as error:
            logger.warning("%s has to be computed again: %s", key, str(error))  # its frames hold the file
            lost.append(key)
    if lost:
        raise _InputsLost(lost)
    return values


def _copy_frames(frames: Iterable[Frame]) -> list[Frame]:
    return [Frame(bytearray(frame.buffer or b""), frame.live) for frame in frames]
