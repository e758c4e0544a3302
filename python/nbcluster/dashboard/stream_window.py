"""The task stream: recent runs as rectangles in time, one row per worker thread.

Rules
1. It shows the current burst of work: after a long silence it starts afresh, and what is older than a minute goes.
2. It stays small however short the tasks are: runs of one function that follow each other closely in one row become one
   rectangle that tells how many they were.
3. Rectangles are numbered. Who has seen the first ``n`` of them gets the others; only when rows move (a worker came or
   went) or a burst ended does everybody get everything again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nbcluster.dashboard.columns import FAILED, GROUND, Columns, StreamUpdate
from nbcluster.dashboard.text import display, format_bytes, format_duration, plural
from nbcluster.snapshot import TaskRecord
from nbcluster.types import WorkerName

LIMIT = 4000
"""The most rectangles kept."""
SILENCE = 20.0
"""Seconds without any run that end a burst."""
LONGEST = 60.0
"""Seconds of the past that are shown."""
SHORT = 0.02
"""Runs and gaps shorter than this (seconds) are drawn together, up to five times this long."""
LONG = 0.15
"""Seconds from which on there is room for a gap to the neighbours."""
SHADES = (1.0, 0.84)
"""Shorter ones are told from their neighbours by how strong their colours are, in turn: so they stay visible even where
they are less than a pixel wide."""

Row = tuple[WorkerName, int]


@dataclass
class _Block:
    """One run, or several short ones of the same kind that followed each other."""

    row: Row
    prefix: str
    key: str
    failed: bool
    start: float
    stop: float
    busy: float
    nbytes: int
    even: bool = False
    """Whether it is the second, fourth… in its row: neighbours differ in shade."""
    count: int = 1

    def takes(self, record: TaskRecord) -> bool:
        """True if this run cannot be told from the block's end by eye."""
        return (
            record.prefix == self.prefix
            and (record.status == "error") == self.failed
            and record.stop - record.start < SHORT
            and self.busy / self.count < SHORT
            and record.start - self.stop < SHORT
            and record.stop - self.start < 5 * SHORT
        )

    def add(self, record: TaskRecord) -> None:
        """Grow by this run."""
        self.stop = max(self.stop, record.stop)
        self.busy += record.stop - record.start
        self.nbytes += record.nbytes
        self.count += 1


class StreamWindow:
    """The rectangles, their rows, and what each asker has not seen of them.

    Args:
        utc_offset: seconds that its clock is ahead of UTC.
        limit: the most rectangles kept.
        whole: keep what is long ago, too.
    """

    def __init__(self, utc_offset: float = 0.0, limit: int = LIMIT, whole: bool = False) -> None:
        self.last_record = 0
        self._utc_offset = utc_offset
        self._limit = limit
        self._silence, self._longest = (float("inf"), float("inf")) if whole else (SILENCE, LONGEST)
        self._blocks: deque[_Block] = deque(maxlen=limit)
        self._count = 0
        """How many blocks there ever were: those kept are the last of them."""
        self._version = 0
        self._latest = float("-inf")
        self._threads: set[Row] = set()
        self._rows: dict[Row, int] = {}
        self._even: dict[Row, bool] = {}

    def set_threads(self, workers: Iterable[tuple[WorkerName, int]]) -> None:
        """These workers are there, with so many threads each: a row for each thread, even before it ran anything."""
        self._threads = {(name, thread) for name, threads in workers for thread in range(threads)}
        self._arrange()

    def add(self, records: Sequence[TaskRecord]) -> None:
        """Add completed runs, in the order of completion."""
        open_blocks: dict[Row, _Block] = {}
        for record in records:
            self.last_record = max(self.last_record, record.number)
            if record.start > self._latest + self._silence and self._blocks:
                self._blocks.clear()
                self._version += 1
                open_blocks.clear()
            self._latest = max(self._latest, record.stop)
            row = (record.worker, record.thread)
            block = open_blocks.get(row)
            if block is not None and block.takes(record):
                block.add(record)
            else:
                self._even[row] = even = not self._even.get(row, True)
                open_blocks[row] = block = _block(record, even)
                self._blocks.append(block)
                self._count += 1
        while self._blocks and self._blocks[0].stop < self._latest - self._longest:
            self._blocks.popleft()
        if any(block.row not in self._rows for block in open_blocks.values()):
            self._arrange()

    def since(self, cursor: tuple[int, int] | None, hues: Mapping[str, int]) -> StreamUpdate:
        """What an asker with this cursor has not seen; ``hues`` has the colour of each prefix."""
        missed = self._count - cursor[1] if cursor else self._count
        replace = cursor is None or cursor[0] != self._version or missed > len(self._blocks)
        blocks = list(self._blocks)
        fresh = blocks if replace else blocks[len(blocks) - missed :]
        start = max(min((block.start for block in blocks), default=0.0), self._latest - self._longest)
        caption = ""
        if blocks:
            runs = sum(block.count for block in blocks)
            caption = f"{plural(runs, 'task')} in {format_duration(max(self._latest - start, 1e-6))}"
        return StreamUpdate(
            columns=self._columns(fresh, hues),
            replace=replace,
            cursor=(self._version, self._count),
            rows=[display(name, limit=14) if thread == 0 else "" for name, thread in self._rows],
            span=(self._milliseconds(start), self._milliseconds(self._latest)) if blocks else (0.0, 1.0),
            caption=caption,
            limit=self._limit,
        )

    def _arrange(self) -> None:
        """Give each thread its row. Threads of workers that are gone keep theirs while their runs are shown."""
        wanted = self._threads | {block.row for block in self._blocks}
        if wanted != self._rows.keys():
            ordered = sorted(wanted, key=lambda row: (isinstance(row[0], str), row))
            self._rows = {row: y for y, row in enumerate(ordered)}
            self._version += 1

    def _columns(self, blocks: Iterable[_Block], hues: Mapping[str, int]) -> Columns:
        names = ("y", "left", "right", "hue", "edge", "shade", "cross", "task", "took", "worker", "result")
        columns: Columns = {name: [] for name in names}
        for block in blocks:
            name, thread = block.row
            columns["y"].append(self._rows[block.row])
            columns["left"].append(self._milliseconds(block.start))
            columns["right"].append(self._milliseconds(block.stop))
            hue = FAILED if block.failed else hues[block.prefix]
            long = block.stop - block.start >= LONG
            columns["hue"].append(hue)
            columns["edge"].append(GROUND if long else hue)
            columns["shade"].append(1.0 if long else SHADES[block.even])
            middle = self._milliseconds((block.start + block.stop) / 2)
            columns["cross"].append(middle if block.failed else float("nan"))
            columns["task"].append(
                display(block.key) if block.count == 1 else f"{display(block.prefix)}, {block.count} runs"
            )
            mean = format_duration(block.busy / block.count)
            took = mean if block.count == 1 else f"{mean} each"
            columns["took"].append(f"{took}, failed" if block.failed else took)
            columns["worker"].append(f"{display(name)}, thread {thread}")
            columns["result"].append(format_bytes(block.nbytes))
        return columns

    def _milliseconds(self, moment: float) -> float:
        return (moment + self._utc_offset) * 1000


def _block(record: TaskRecord, even: bool) -> _Block:
    return _Block(
        row=(record.worker, record.thread),
        prefix=record.prefix,
        key=record.key,
        failed=record.status == "error",
        start=record.start,
        stop=record.stop,
        busy=record.stop - record.start,
        nbytes=record.nbytes,
        even=even,
    )
