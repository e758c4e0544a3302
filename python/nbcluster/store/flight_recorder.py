"""Which run each thread of a worker executes, in memory that outlives the worker.

When a worker dies, the tasks that it was running are to blame, and no others. The worker cannot say which
those were: it is dead. So it notes them where its supervisor can read them afterwards, a few words of memory
that both have mapped:

    thread     0                1                …
    words      now   latest     now   latest          now: run_id+1, or 0 if it runs nothing

One process writes, each thread its own slot, one aligned word at a time; so nothing is ever half-written.
The latest run stays on record after its end: a task may have sent its process a signal, and been over by the time
the process died of it, before its end was reported.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile

from nbcluster.types import RunId

WORKER_FD = 3
"""Where a worker that was started by a supervisor finds its record."""

_SLOT = 16


class FlightRecorder:
    """The record of one worker. Its supervisor creates it, the worker opens it by its file descriptor.

    Example:
        >>> recorder = FlightRecorder.create()
        >>> in_the_worker = FlightRecorder.open(os.dup(recorder.fd))
        >>> in_the_worker.enter(0, 17)
        >>> recorder.running()
        [17]
        >>> in_the_worker.leave(0)
        >>> recorder.running()
        []
    """

    SLOTS = 4096
    """More than a worker has threads, those included whose tasks have seceded."""

    __slots__ = ("_map", "_words", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map: mmap.mmap | None = None
        self._words = memoryview(bytearray())

    @classmethod
    def create(cls, name: str = "nbcluster-flight-recorder") -> FlightRecorder:
        """A new, empty record, to be read here and written elsewhere.

        ``name`` is what its memory is called in the maps of the worker, and of whatever the worker forks. It is
        not mapped here: so the processes that have it are the worker's and nobody else's.
        """
        if sys.platform == "linux":
            fd = os.memfd_create(name, os.MFD_CLOEXEC)
        else:
            fd, path = tempfile.mkstemp(prefix=name)
            os.unlink(path)
        os.ftruncate(fd, cls.SLOTS * _SLOT)
        return cls(fd)

    @classmethod
    def open(cls, fd: int) -> FlightRecorder:
        """The record behind a descriptor that was inherited, to be written; it is closed with the record."""
        recorder = cls(fd)
        recorder._map = mmap.mmap(fd, cls.SLOTS * _SLOT)
        recorder._words = memoryview(recorder._map).cast("Q")
        return recorder

    def enter(self, thread: int, run_id: RunId) -> None:
        """Note that a thread begins a run."""
        words, slot = self._words, 2 * thread
        words[slot + 1] = words[slot] = run_id + 1

    def leave(self, thread: int) -> None:
        """Note that a thread has ended its run."""
        self._words[2 * thread] = 0

    def pause(self, thread: int) -> None:
        """Note that a thread waits: its run is not under way, and has not just ended either."""
        words, slot = self._words, 2 * thread
        words[slot + 1] = words[slot] = 0

    def running(self) -> list[RunId]:
        """The runs under way, or those under way when the worker died."""
        return [word - 1 for word in self._read()[::2] if word]

    def suspects(self) -> list[RunId]:
        """The runs that a dead worker may have died of: those under way, or else those that had just ended.

        Of the latter, those whose end was reported before are none, and whoever asks knows which these are.
        """
        return self.running() or [word - 1 for word in self._read()[1::2] if word]

    def close(self) -> None:
        """Give the memory back. Idempotent."""
        if self.fd >= 0:
            self._words.release()
            if self._map is not None:
                self._map.close()
            os.close(self.fd)
            self.fd = -1

    def _read(self) -> list[int]:
        return memoryview(os.pread(self.fd, self.SLOTS * _SLOT, 0)).cast("Q").tolist()
