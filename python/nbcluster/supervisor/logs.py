"""What all parts of a cluster wrote: kept in memory by source, and in rotated files.

    workers' stdout, stderr ── pipes ──▶ PipeReader ──▶ ┐
    log records of scheduler, cluster ── LogHandler ──▶ ├─▶ LogBook ──▶ rings, by source; file
                                                        ┘
Rules
1. Pipes are always drained: nobody who prints waits for us.
2. What one source can take is bounded: lines are cut, and lines beyond a rate are counted, not kept.
3. A source's lines outlive it: they are most wanted when it has died.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from nbcluster.snapshot import LogLine
from nbcluster.supervisor.records import FORMAT, level_name, split
from nbcluster.types import Address, WorkerName

LINE_LIMIT = 10_000
"""Characters of a line that are kept."""
LINES_KEPT = 10_000
BYTES_KEPT = 4 << 20
"""Of each source, whichever is reached first."""
RATE_LIMIT = 5_000
"""Lines of one pipe that are kept within a second."""
TAIL = 200
"""Lines for the report of a crash."""

_READ = 1 << 16
_SEVERITY = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_ALWAYS = 100
"""What is plainly printed has no level: it is left out for none."""


class _Ring:
    """The latest lines of one source."""

    def __init__(self) -> None:
        self.lines: deque[LogLine] = deque()
        self._size = 0

    def append(self, line: LogLine) -> None:
        self.lines.append(line)
        self._size += len(line.text)
        while len(self.lines) > LINES_KEPT or self._size > BYTES_KEPT:
            self._size -= len(self.lines.popleft().text)

    def after(self, number: int) -> list[LogLine]:
        newest = itertools.takewhile(lambda line: line.number > number, reversed(self.lines))
        return list(newest)[::-1]


class LogBook:
    """The log of one cluster.

    Args:
        path: where to write it as well; older files get a number behind their name.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()  # records come from any thread
        self._rings: dict[str | tuple[WorkerName], _Ring] = {}
        self._addresses: dict[WorkerName, Address] = {}
        self._number = 0
        self._readers: dict[WorkerName, list[PipeReader]] = {}
        self._begun: dict[WorkerName, int] = {}
        """The number of the last line before a worker's process began."""
        self._file = None if path is None else RotatedFile(path)

    # --- writing ---

    def add(self, level: str, text: str, *, source: str = "", worker: WorkerName | None = None) -> None:
        """Add a text, line by line, from ``source`` or from a worker. Thread-safe."""
        self.extend([(level, line) for line in text.splitlines() or [""]], source, worker)

    def extend(self, lines: Iterable[tuple[str, str]], source: str = "", worker: WorkerName | None = None) -> None:
        """Add lines, as (level, text). Thread-safe."""
        now = time.time()
        with self._lock:
            ring = self._rings.setdefault(source if worker is None else (worker,), _Ring())
            written = []
            for level, text in lines:
                self._number += 1
                line = LogLine(time=now, source=source, level=level, text=cut(text), worker=worker, number=self._number)
                ring.append(line)
                written.append(line)
            if self._file is not None:
                self._file.write(written)

    def attach(self, worker: WorkerName, fd: int, stream: str) -> None:
        """Read a pipe to its end, on the running loop; ``stream`` is ``"STDOUT"`` or ``"STDERR"``.

        The first pipe of a worker whose former ones were drained is that of its successor.
        """
        if worker not in self._readers:
            self._begun[worker] = self._number
        self._readers.setdefault(worker, []).append(PipeReader(self, worker, fd, stream))

    def drain(self, worker: WorkerName) -> None:
        """Read all that the ended worker's pipes still hold, and close them."""
        for reader in self._readers.pop(worker, []):
            reader.finish()

    def set_address(self, worker: WorkerName, address: Address) -> None:
        """From now on this is how the worker's lines are labelled, the former ones too."""
        self._addresses[worker] = address

    def handler(self, source: str) -> LogHandler:
        """A logging handler that writes here."""
        return LogHandler(self, source)

    def close(self) -> None:
        """Read what is left, and close pipes and file. Idempotent; the lines stay readable."""
        for worker in list(self._readers):
            self.drain(worker)
        if self._file is not None:
            self._file.close()

    # --- reading ---

    def lines(
        self,
        after: int = 0,
        limit: int = LINES_KEPT,
        worker: WorkerName | None = None,
        level: str | None = None,
    ) -> list[LogLine]:
        """Lines in the order in which they were written.

        Args:
            after: the number of the last line that is known already; 0 asks for the newest ones.
            limit: how many at most.
            worker: of this one only.
            level: of this level and worse; plain output has none and is always there.
        """
        least = 0 if level is None else _SEVERITY.get(level.upper(), 0)
        with self._lock:
            rings = self._rings.items()
            parts = [ring.after(after) for key, ring in rings if worker is None or key == (worker,)]
        merged: Iterable[LogLine] = heapq.merge(*parts, key=lambda line: line.number)
        if least:
            merged = (line for line in merged if _SEVERITY.get(line.level, _ALWAYS) >= least)
        chosen = list(itertools.islice(merged, limit)) if after else list(deque(merged, limit))
        return [line if line.worker is None else self._labelled(line) for line in chosen]

    def tail(self, worker: WorkerName, count: int = TAIL) -> str:
        """The last lines of a worker's latest process, as text."""
        with self._lock:
            ring = self._rings.get((worker,))
            lines = [] if ring is None else ring.after(self._begun.get(worker, 0))[-count:]
        return "\n".join(line.text for line in lines)

    def _labelled(self, line: LogLine) -> LogLine:
        assert line.worker is not None
        return replace(line, source=self._addresses.get(line.worker, f"worker {line.worker}"))


def cut(text: str) -> str:
    """A line of bearable length."""
    if len(text) <= LINE_LIMIT:
        return text
    return f"{text[:LINE_LIMIT]}[… {len(text) - LINE_LIMIT} more characters]"


class PipeReader:
    """Turns what arrives in a pipe into lines; owns the pipe's end."""

    def __init__(self, book: LogBook, worker: WorkerName, fd: int, stream: str) -> None:
        self._book = book
        self._worker = worker
        self._fd = fd
        self._stream = stream
        self._rest = b""
        self._second = 0
        self._kept = 0
        self._dropped = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._read)

    def finish(self) -> None:
        """Read what there is, but do not wait for others who may hold the pipe; then close it. Idempotent."""
        for _ in range(64):  # 4 MiB: a pipe holds no more, unless somebody still writes
            if self._fd < 0 or not self._read():
                break
        self._close()

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return False
        if not data:
            self._close()
            return False
        head, newline, rest = data.rpartition(b"\n")
        if newline:
            self._take(self._rest + head)
            self._rest = rest
        else:  # a line without end is cut while it grows
            self._rest = (self._rest + data)[: 4 * LINE_LIMIT]
        return True

    def _take(self, data: bytes) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._kept = second, 0
            self._tell_dropped()
        room = RATE_LIMIT - self._kept
        if room <= 0:
            self._dropped += data.count(b"\n") + 1
            return
        lines = data.split(b"\n", room)
        if len(lines) > room:
            self._dropped += lines.pop().count(b"\n") + 1
        self._kept += len(lines)
        texts = (line.rstrip(b"\r").decode("utf-8", "backslashreplace") for line in lines)
        self._book.extend([split(text, self._stream) for text in texts], worker=self._worker)

    def _tell_dropped(self) -> None:
        if self._dropped:
            text = f"[{self._dropped} lines are missing here: more than {RATE_LIMIT} in a second]"
            self._book.add("WARNING", text, worker=self._worker)
            self._dropped = 0

    def _close(self) -> None:
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        if self._rest:
            self._take(self._rest)
            self._rest = b""
        self._tell_dropped()


class LogHandler(logging.Handler):
    """Writes log records of this process into a log book."""

    def __init__(self, book: LogBook, source: str) -> None:
        super().__init__()
        self._book = book
        self._source = source
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``."""
        try:
            self._book.add(level_name(record.levelno), self.format(record), source=self._source)
        except Exception:
            self.handleError(record)


class RotatedFile:
    """A text file that starts anew when it is full; older ones get a number behind their name."""

    def __init__(self, path: Path, size: int = 10_000_000, count: int = 5) -> None:
        self._path = path
        self._limit = size
        self._count = count
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        self._size = path.stat().st_size

    def write(self, lines: Iterable[LogLine]) -> None:
        """Append lines. A full disk ends the file, not the cluster."""
        if self._file.closed:
            return
        text = "".join(f"{_stamp(line)} {_origin(line)} {line.level}: {line.text}\n" for line in lines)
        try:
            self._file.write(text)
            self._file.flush()
            self._size += len(text)
            if self._size > self._limit:
                self._rotate()
        except OSError as error:
            logging.getLogger("nbcluster.supervisor").debug("The log file ends here: %s", error)
            self.close()

    def close(self) -> None:
        """Close it. Idempotent."""
        try:
            self._file.close()
        except OSError:
            pass  # the disk is full: what could not be written is lost

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._count - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
            if newer.exists():
                newer.replace(older)
        self._file = self._path.open("w", encoding="utf-8", errors="backslashreplace")
        self._size = 0


def _stamp(line: LogLine) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.time))


def _origin(line: LogLine) -> str:
    return line.source if line.worker is None else f"worker {line.worker}"
