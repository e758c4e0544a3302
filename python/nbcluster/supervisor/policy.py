"""When to restart a worker that died: at once, unless it keeps dying; then later and later, but for ever.

    added ──▶ started ──joined──▶ running ──exited──▶ restarted at once
                 │                                        │
                 │                    too many exits within the period: a crash loop
                 │                                        ▼
                 └────── exited ──────────────────▶ broken: waits, longer each time
                                                          │
                              restarted; out of the loop once it has run for a while

Rules
1. A slot leaves only when somebody removes it. However often its worker dies, another start is due.
2. Waiting never exceeds ``longest_delay``, so that a cluster is back at full strength soon after whatever
   killed its workers has stopped. Only a worker that dies before it joins, again and again, waits longer:
   nothing outside kills that fast, so the cause is in the worker itself.
3. Delays are jittered, or all workers of a cluster would come back, and die, in step.

Pure: no clock, no I/O. Whoever drives it carries out the decisions and calls again at the time of ``WakeAt``.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from nbcluster.types import Status, WorkerName


class RestartSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the policy is; times in seconds."""

    intensity: int = 6
    """So many exits within ``period`` are restarted at once; one more is a crash loop."""
    period: float = 10.0
    first_delay: float = 0.25
    longest_delay: float = 3.0
    stable: float = 5.0
    """A worker that has been a member for so long is out of its crash loop."""
    hopeless: int = 10
    """After so many exits in a row before joining, waiting may grow up to ``hopeless_delay``."""
    hopeless_delay: float = 30.0


class SlotAdded(NamedTuple):
    """There shall be a worker of this name."""

    name: WorkerName


class SlotRemoved(NamedTuple):
    """There shall be none, whatever becomes of its process."""

    name: WorkerName


class WorkerJoined(NamedTuple):
    """The worker has started and is a member of the cluster."""

    name: WorkerName


class WorkerExited(NamedTuple):
    """Its process is gone. ``crashed`` is false if we ended it ourselves, to start it afresh."""

    name: WorkerName
    crashed: bool = True


class TimePassed(NamedTuple):
    """It is time to look again."""


class StartWorker(NamedTuple):
    """Decision: start a process for this slot now."""

    name: WorkerName


class WakeAt(NamedTuple):
    """Decision: send ``TimePassed`` at this time."""

    time: float


Event = SlotAdded | SlotRemoved | WorkerJoined | WorkerExited | TimePassed
Decision = StartWorker | WakeAt


class _Slot:
    __slots__ = ("attempt", "due", "exits", "failed_starts", "joined_at", "restarts")

    def __init__(self) -> None:
        self.due: float | None = None
        """When its next start is due; None while it has a process."""
        self.joined_at: float | None = None
        self.exits: deque[float] = deque()
        """The crashes within the period."""
        self.attempt = 0
        """Delayed restarts in this crash loop; 0 outside of one."""
        self.failed_starts = 0
        """Exits in a row before joining."""
        self.restarts = 0


class RestartPolicy:
    """The restart decisions for the slots of one cluster.

    Args:
        settings: how patient to be.
        jitter: a source of numbers in [0, 1).
    """

    def __init__(self, settings: RestartSettings | None = None, jitter: Callable[[], float] = random.random) -> None:
        self.settings = settings or RestartSettings()
        self._jitter = jitter
        self._slots: dict[WorkerName, _Slot] = {}

    def handle(self, event: Event, now: float) -> list[Decision]:
        """What to do about an event that happened at ``now``; events of removed slots are ignored."""
        if isinstance(event, TimePassed):
            return self._start_due(now)
        if isinstance(event, SlotAdded):
            if event.name in self._slots:
                return []
            self._slots[event.name] = _Slot()
            return [StartWorker(event.name)]
        slot = self._slots.get(event.name)
        if slot is None:
            return []
        if isinstance(event, SlotRemoved):
            del self._slots[event.name]
            return []
        if isinstance(event, WorkerJoined):
            slot.joined_at = now
            slot.failed_starts = 0
            return []
        return self._exited(event, slot, now)

    def status(self, name: WorkerName) -> Status:
        """Starting, running, or broken: waiting for a delayed restart.

        Raises:
            KeyError: there is no such slot.
        """
        slot = self._slots[name]
        if slot.due is not None:
            return Status.BROKEN
        return Status.STARTING if slot.joined_at is None else Status.RUNNING

    def restarts(self, name: WorkerName) -> int:
        """How often its process was replaced.

        Raises:
            KeyError: there is no such slot.
        """
        return self._slots[name].restarts

    def due(self, name: WorkerName) -> float | None:
        """When a broken slot will be tried again.

        Raises:
            KeyError: there is no such slot.
        """
        return self._slots[name].due

    def _exited(self, event: WorkerExited, slot: _Slot, now: float) -> list[Decision]:
        if slot.due is not None:
            return []  # of a process from before: this slot has none
        delay = self._delay(slot, now) if event.crashed else 0.0
        slot.joined_at = None
        if delay > 0:
            slot.due = now + delay
            return [WakeAt(slot.due)]
        slot.restarts += 1
        return [StartWorker(event.name)]

    def _delay(self, slot: _Slot, now: float) -> float:
        settings = self.settings
        if slot.joined_at is None:
            slot.failed_starts += 1
        elif now - slot.joined_at >= settings.stable:
            slot.attempt = 0
        slot.exits.append(now)
        while slot.exits[0] <= now - settings.period:
            slot.exits.popleft()
        if slot.attempt == 0 and len(slot.exits) <= settings.intensity:
            return 0.0
        slot.attempt += 1
        hopeless = slot.failed_starts > settings.hopeless
        longest = settings.hopeless_delay if hopeless else settings.longest_delay
        # The exponent is bounded: 2.0**1024 does not exist.
        delay = min(longest, settings.first_delay * 2.0 ** min(slot.attempt - 1, 64))
        return delay * (0.5 + self._jitter() / 2)

    def _start_due(self, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        later: list[float] = []
        for name, slot in self._slots.items():
            if slot.due is None:
                continue
            if slot.due <= now:
                slot.due = None
                slot.restarts += 1
                decisions.append(StartWorker(name))
            else:
                later.append(slot.due)
        if later:
            decisions.append(WakeAt(min(later)))
        return decisions
