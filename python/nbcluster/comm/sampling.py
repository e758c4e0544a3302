"""Samples of what threads do, for profiles: taken a hundred times a second while there is work, never without.

Whoever gives the threads work says ``wake()``. The sampler looks every 10 ms from then on, and parks itself after a
second without work: so a pause between two tasks wakes nobody, and who is idle runs no sampler.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import NamedTuple

from nbcluster.protocol.profiles import CallTree, Frame, Profile

INTERVAL = 0.01
REST = 1.0
"""Seconds without work after which the sampler parks."""
SLOT = 1.0
"""Seconds that share their trees at first; later fewer, longer ones do."""
MOST_SLOTS = 120


class Slot:
    """What was sampled between two moments."""

    __slots__ = ("start", "stop", "trees")

    def __init__(self, start: float) -> None:
        self.start = self.stop = start
        self.trees: dict[str, CallTree] = {}


class History:
    """Call trees by time and by group. What is long ago is kept together, so its size is bounded."""

    def __init__(self) -> None:
        self._slots: deque[Slot] = deque()
        self._lock = threading.Lock()

    def add(self, group: str, stack: Iterable[Frame], now: float) -> None:
        """Add a sample; ``now`` is seconds since the epoch."""
        with self._lock:
            slots = self._slots
            if not slots or not 0 <= now - slots[-1].start < SLOT:
                if len(slots) >= MOST_SLOTS:
                    slots = self._slots = _thinned_out(slots)
                slots.append(Slot(now))
            slot = slots[-1]
            slot.stop = now
            tree = slot.trees.get(group)
            if tree is None:
                tree = slot.trees[group] = CallTree()
            tree.add(stack)

    def profile(self, group: str | None = None, start: float | None = None, stop: float | None = None) -> Profile:
        """One tree of what was sampled between two moments, of one group or of all."""
        whole = CallTree()
        with self._lock:
            for slot in self._slots:
                if (start is not None and slot.stop < start) or (stop is not None and slot.start > stop):
                    continue
                for name, tree in slot.trees.items():
                    if group is None or name == group:
                        whole.add_all(tree.record())
        return whole.record()


def _thinned_out(former: Iterable[Slot]) -> deque[Slot]:
    """Two and two slots of the older half share their trees."""
    slots = list(former)
    half = len(slots) // 4 * 2
    for first, second in zip(slots[:half:2], slots[1:half:2], strict=True):
        for group, tree in second.trees.items():
            first.trees.setdefault(group, CallTree()).add_all(tree.record())
        first.stop = second.stop
    return deque([*slots[:half:2], *slots[half:]])


class AtWork(NamedTuple):
    """A thread that works."""

    history: History
    """Where its samples go."""
    group: str
    """What it works at, by name."""
    thread: int
    """Its identity."""
    begins: CodeType | None = None
    """Where the stack of interest begins: what called this code is left out."""


class Sampler:
    """Samples threads while they work.

    Args:
        at_work: the threads that work right now; called in the sampler's thread.
    """

    def __init__(self, at_work: Callable[[], list[AtWork]]) -> None:
        self.parked = True
        self._given = False
        self._at_work = at_work
        self._awake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is work. The thread that gives it says so, each time: that wakes only who sleeps."""
        self._given = True
        if self.parked:
            self.parked = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbcluster-sampler", daemon=True)
                self._thread.start()
            self._awake.set()

    def close(self) -> None:
        """Sample no more, and leave no thread; what was sampled stays. Idempotent."""
        self._closed.set()
        self._awake.set()
        if self._thread is not None:
            self._thread.join(REST)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._awake.wait()
            self._awake.clear()
            last = time.monotonic()
            while not self._closed.wait(INTERVAL) and time.monotonic() - last < REST:
                if self.sample() or self._given:
                    self._given = False
                    last = time.monotonic()
            self.parked = True
            if self._given:  # since the last look, by who may have seen that this is not parked
                self.parked = False
                self._awake.set()

    def sample(self) -> int:
        """Look once; returns how many threads were at work."""
        working = self._at_work()
        if not working:
            return 0
        now = time.time()
        frames = frames_of_others()
        for at in working:
            stack = stack_of(frames.get(at.thread), at.begins)
            if stack:
                at.history.add(at.group, [_described(frame) for frame in stack], now)
        return len(working)


def frames_of_others() -> dict[int, FrameType]:
    """Where all threads are but this one: its own frame would hold itself, and so all others and what is in them."""
    frames = sys._current_frames()
    del frames[threading.get_ident()]
    return frames


def stack_of(frame: FrameType | None, begins: CodeType | None) -> list[FrameType]:
    """A thread's frames, the outermost call first: those that ``begins`` called. Empty if it is not among them."""
    stack: list[FrameType] = []
    while frame is not None:
        if begins is not None and frame.f_code is begins:
            return stack[::-1]
        stack.append(frame)
        frame = frame.f_back
    return stack[::-1] if begins is None else []


def _described(frame: FrameType) -> Frame:
    code = frame.f_code
    return code.co_name, code.co_filename, code.co_firstlineno
