"""The latest runs that have ended, as the scheduler notes them for the task stream."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nbcluster import story
from nbcluster.protocol.messages import TaskDone
from nbcluster.types import Key, WorkerName


class RunRecord(NamedTuple):
    """One of them. Start and stop are by the worker's wall clock."""

    number: int
    key: Key
    prefix: str
    worker: WorkerName
    thread: int
    start: float
    stop: float
    status: str
    nbytes: int


class _Finished:
    """Many runs of a worker that succeeded: in columns, for nearly always nobody asks for the records."""

    __slots__ = ("_first", "_keys", "_nbytes", "_prefixes", "_starts", "_stops", "_threads", "_worker")

    def __init__(
        self, first: int, worker: WorkerName, keys: Sequence[Key], prefixes: Sequence[str], runs: Sequence[TaskDone]
    ) -> None:
        self._first = first
        self._worker = worker
        self._keys = keys
        self._prefixes = prefixes
        self._threads = [run.thread for run in runs]
        self._starts = array("d", [run.start for run in runs])
        self._stops = array("d", [run.stop for run in runs])
        self._nbytes = array("q", [run.nbytes for run in runs])

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[RunRecord]:
        columns = zip(self._keys, self._prefixes, self._threads, self._starts, self._stops, self._nbytes, strict=True)
        for number, (key, prefix, thread, start, stop, nbytes) in enumerate(columns, self._first):
            yield RunRecord(number, key, prefix, self._worker, thread, start, stop, "finished", nbytes)


class RunLog(story.Story[RunRecord]):
    """The latest runs, in the order in which the scheduler heard of their ends."""

    __slots__ = ("ended",)

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.ended = 0
        """How many have ended so far, which is the number of the last one."""

    def note_finished(
        self, worker: WorkerName, keys: Sequence[Key], prefixes: Sequence[str], runs: Sequence[TaskDone]
    ) -> None:
        """Runs of a worker succeeded. What is given must not be changed any more."""
        if len(runs) == 1:
            [run], [key], [prefix] = runs, keys, prefixes
            self._note_one(worker, key, prefix, run.thread, run.start, run.stop, "finished", run.nbytes)
        elif runs:
            self.note_many(_Finished(self.ended + 1, worker, keys, prefixes, runs))
            self.ended += len(runs)

    def note_failed(self, worker: WorkerName, key: Key, prefix: str, thread: int, start: float, stop: float) -> None:
        """A run raised."""
        self._note_one(worker, key, prefix, thread, start, stop, "error", 0)

    def _note_one(
        self,
        worker: WorkerName,
        key: Key,
        prefix: str,
        thread: int,
        start: float,
        stop: float,
        status: str,
        nbytes: int,
    ) -> None:
        self.ended += 1
        self.note(RunRecord(self.ended, key, prefix, worker, thread, start, stop, status, nbytes))

    def last_failure(self, key: Key) -> RunRecord | None:
        """The last run of this task that raised, if it is among these."""
        alone = (entry for entry in reversed(self._entries) if isinstance(entry, RunRecord))
        return next((run for run in alone if run.key == key and run.status == "error"), None)

    def since(self, number: int, most: int | None = None) -> list[RunRecord]:
        """Those that have ended since so many had; the latest ones, if there are more than ``most``."""
        fresh = self.ended - number
        return self.latest(fresh if most is None else min(fresh, most))
