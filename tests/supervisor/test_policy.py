from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nbcluster.supervisor.policy import (
    Decision,
    RestartPolicy,
    RestartSettings,
    SlotAdded,
    SlotRemoved,
    StartWorker,
    TimePassed,
    WakeAt,
    WorkerExited,
    WorkerJoined,
)
from nbcluster.types import Status, WorkerName

SETTINGS = RestartSettings()


def crash(policy: RestartPolicy, now: float, joined: bool = True) -> list[Decision]:
    if joined:
        policy.handle(WorkerJoined(0), now)
    return policy.handle(WorkerExited(0), now)


def crash_until_broken(policy: RestartPolicy, now: float = 0.0) -> float:
    """Crash a new slot until its restart is delayed; when that is due."""
    policy.handle(SlotAdded(0), now)
    for _ in range(SETTINGS.intensity):
        assert crash(policy, now) == [StartWorker(0)]
    (wake,) = crash(policy, now)
    assert isinstance(wake, WakeAt)
    return wake.time


def test_a_new_slot_is_started_at_once_and_only_once() -> None:
    policy = RestartPolicy()
    assert policy.handle(SlotAdded(0), 0) == [StartWorker(0)]
    assert policy.handle(SlotAdded(0), 1) == []
    assert policy.status(0) is Status.STARTING
    policy.handle(WorkerJoined(0), 2)
    assert policy.status(0) is Status.RUNNING


def test_the_first_crashes_are_restarted_at_once() -> None:
    policy = RestartPolicy()
    policy.handle(SlotAdded(0), 0)
    for i in range(SETTINGS.intensity):
        assert crash(policy, i * 0.01) == [StartWorker(0)]
        assert policy.restarts(0) == i + 1


def test_crashes_that_are_far_apart_are_always_restarted_at_once() -> None:
    policy = RestartPolicy()
    policy.handle(SlotAdded(0), 0)
    for i in range(100):
        assert crash(policy, i * 2.0) == [StartWorker(0)]


def test_a_crash_loop_is_visible_and_waits_longer_each_time() -> None:
    policy = RestartPolicy(jitter=lambda: 1.0)
    due = crash_until_broken(policy)
    delays = [due]
    for _ in range(8):
        assert policy.status(0) is Status.BROKEN
        assert policy.due(0) == due
        assert policy.handle(TimePassed(), due) == [StartWorker(0)]
        assert policy.status(0) is Status.STARTING
        (wake,) = crash(policy, due)
        assert isinstance(wake, WakeAt)
        delays.append(wake.time - due)
        due = wake.time
    assert delays == pytest.approx([0.25, 0.5, 1, 2, 3, 3, 3, 3, 3])


def test_a_wake_up_that_comes_too_early_starts_nothing() -> None:
    policy = RestartPolicy()
    due = crash_until_broken(policy)
    assert policy.handle(TimePassed(), due - 0.01) == [WakeAt(due)]


def test_a_worker_that_stays_is_out_of_its_crash_loop() -> None:
    policy = RestartPolicy()
    due = crash_until_broken(policy)
    policy.handle(TimePassed(), due)
    policy.handle(WorkerJoined(0), due)
    later = due + SETTINGS.period + 1
    assert policy.handle(WorkerExited(0), later) == [StartWorker(0)]


def test_a_worker_that_never_joins_waits_longer_in_the_end() -> None:
    policy = RestartPolicy(jitter=lambda: 1.0)
    policy.handle(SlotAdded(0), 0)
    now, longest = 0.0, 0.0
    for _ in range(40):
        (decision,) = crash(policy, now, joined=False)
        if isinstance(decision, WakeAt):
            longest = decision.time - now
            now = decision.time
            policy.handle(TimePassed(), now)
    assert longest == SETTINGS.hopeless_delay


def test_an_exit_that_was_asked_for_is_no_crash() -> None:
    policy = RestartPolicy()
    policy.handle(SlotAdded(0), 0)
    for _ in range(100):
        policy.handle(WorkerJoined(0), 0)
        assert policy.handle(WorkerExited(0, crashed=False), 0) == [StartWorker(0)]


def test_a_removed_slot_is_not_restarted() -> None:
    policy = RestartPolicy()
    due = crash_until_broken(policy)
    policy.handle(SlotRemoved(0), 1)
    assert policy.handle(TimePassed(), due) == []
    assert policy.handle(WorkerExited(0), due) == []
    with pytest.raises(KeyError):
        policy.status(0)


def test_the_workers_of_a_cluster_do_not_come_back_in_step() -> None:
    policy = RestartPolicy(jitter=random.Random(7).random)
    due = set()
    for name in range(20):
        policy.handle(SlotAdded(name), 0)
        for _ in range(SETTINGS.intensity + 1):
            policy.handle(WorkerJoined(name), 0)
            policy.handle(WorkerExited(name), 0)
        due.add(policy.due(name))
    assert len(due) == 20


@given(
    kills=st.integers(5, 60),
    every=st.floats(0.1, 2),
    start_time=st.floats(0.01, 0.9),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_soon_after_a_crash_loop_the_cluster_is_back_at_full_strength(
    kills: int, every: float, start_time: float, seed: int
) -> None:
    """Every worker is killed again and again, whatever it is doing; then that stops."""
    policy = RestartPolicy(jitter=random.Random(seed).random)
    joins: dict[WorkerName, float] = dict.fromkeys(range(4), start_time)
    wakes: list[float] = []

    def carry_out(decisions: list[Decision], now: float) -> None:
        for decision in decisions:
            if isinstance(decision, StartWorker):
                assert decision.name not in joins
                joins[decision.name] = now + start_time
            else:
                wakes.append(decision.time)

    def advance(until: float) -> None:
        while due := [time for time in (*wakes, *joins.values()) if time <= until]:
            now = min(due)
            for name in [name for name, time in joins.items() if time == now]:
                del joins[name]
                policy.handle(WorkerJoined(name), now)
            if now in wakes:
                wakes.remove(now)
                carry_out(policy.handle(TimePassed(), now), now)

    for name in range(4):
        policy.handle(SlotAdded(name), 0)
    end = kills * every
    for i in range(1, kills + 1):
        advance(i * every)
        for name in range(4):
            if policy.status(name) is Status.RUNNING:
                carry_out(policy.handle(WorkerExited(name), i * every), i * every)
    advance(end + 5)
    assert [policy.status(name) for name in range(4)] == [Status.RUNNING] * 4


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens: one process per slot at most, and no slot is forgotten."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.policy = RestartPolicy(jitter=random.Random(seed).random)
        self.now = 0.0
        self.slots: set[int] = set()
        self.alive: set[int] = set()
        self.wake: float | None = None

    def carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, StartWorker):
                assert decision.name in self.slots
                assert decision.name not in self.alive
                self.alive.add(int(decision.name))
            else:
                assert self.now < decision.time <= self.now + SETTINGS.hopeless_delay
                self.wake = min(self.wake or decision.time, decision.time)

    @rule(name=st.integers(0, 3))
    def add(self, name: int) -> None:
        self.slots.add(name)
        self.carry_out(self.policy.handle(SlotAdded(name), self.now))

    @rule(name=st.integers(0, 3))
    def remove(self, name: int) -> None:
        self.slots.discard(name)
        self.alive.discard(name)
        self.carry_out(self.policy.handle(SlotRemoved(name), self.now))

    @rule(name=st.integers(0, 3))
    def join(self, name: int) -> None:
        if name in self.alive:
            self.carry_out(self.policy.handle(WorkerJoined(name), self.now))

    @rule(name=st.integers(0, 3), crashed=st.booleans())
    def exit(self, name: int, crashed: bool) -> None:
        if name in self.alive:
            self.alive.discard(name)
            self.carry_out(self.policy.handle(WorkerExited(name, crashed), self.now))

    @precondition(lambda self: self.wake is not None)
    @rule()
    def wake_up(self) -> None:
        assert self.wake is not None
        self.now, self.wake = max(self.now, self.wake), None
        self.carry_out(self.policy.handle(TimePassed(), self.now))

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds: float) -> None:
        self.now = min(self.now + seconds, self.wake or float("inf"))

    @invariant()
    def no_slot_is_forgotten(self) -> None:
        for name in self.slots:
            if name in self.alive:
                assert self.policy.status(name) in (Status.STARTING, Status.RUNNING)
            else:
                assert self.policy.status(name) is Status.BROKEN
                assert self.wake is not None


AnyHistory.TestCase.settings = settings(max_examples=25, deadline=None)
TestAnyHistory = AnyHistory.TestCase
