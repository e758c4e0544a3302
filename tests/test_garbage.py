"""When Python's garbage collector pauses, and when it goes on."""

from __future__ import annotations

import gc
import operator
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from dask._task_spec import Task

from nbcluster import garbage
from nbcluster.client import submission
from nbcluster.client.annotating import Annotated
from nbcluster.client.client import Client
from nbcluster.client.graph_submission import PIECE, GraphSubmission
from nbcluster.garbage import collector_paused
from tests.support.staged_client import ClientStage, with_client


@contextmanager
def noted() -> Iterator[list[int]]:
    """The generations of the collections meanwhile."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    try:
        yield seen
    finally:
        gc.callbacks.remove(note)


def test_it_goes_on_afterwards_whatever_happened() -> None:
    with pytest.raises(RuntimeError, match="paused"), collector_paused():
        raise RuntimeError("running" if gc.isenabled() else "paused")
    assert gc.isenabled()


def test_one_that_was_turned_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_very_many_objects_are_taken_for_such_as_stay_and_looked_at_once() -> None:
    gc.collect()  # it is not about to look at others
    with noted() as collections:
        with collector_paused():
            few = [[number] for number in range(2000)]
        few.append([0])  # the first object after the pause has it look
        assert 1 not in collections
        before = len(collections)
        with collector_paused():
            many = [[number] for number in range(30_000)]
        many.append([0])
        assert collections[before:] in ([0], [1])
        assert len(gc.get_objects(0)) + len(gc.get_objects(1)) < 1000
    assert (len(few), len(many)) == (2001, 30_001)


class Cycle:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def nothing_frozen() -> None:
    gc.unfreeze()
    gc.collect()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the collector looks at the oldest piece by piece")
def test_at_most_times_they_do_not_have_it_look_at_everything_there_is(nothing_frozen: None) -> None:
    kept = []
    with noted() as collections:
        for _ in range(30):
            with collector_paused():
                kept.append([[number] for number in range(30_000)])
        some = [[number] for number in range(20_000)]
    assert 2 not in collections
    assert len(some) == 20_000


@pytest.mark.parametrize("uncounted", [2, 1000])
def test_it_looks_at_everything_after_some_time_all_the_same(
    uncounted: int, nothing_frozen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "_UNCOUNTED", uncounted)
    kept: list[list[list[int]]] = []
    cycles = [Cycle()]
    dead = weakref.ref(cycles[0])
    for _ in range(40):
        with collector_paused():
            kept.append([[number] for number in range(30_000)])
        cycles.clear()  # it has survived the first look, and is among the oldest
    assert (dead() is None) == (uncounted == 2 or not garbage._CAN_BE_UNCOUNTED)


@pytest.mark.parametrize("some_have_survived", [False, True])
def test_garbage_among_them_is_collected(some_have_survived: bool, nothing_frozen: None) -> None:
    if some_have_survived:
        gc.collect(0)
    with collector_paused():
        dead = weakref.ref(Cycle())
        many = [[number] for number in range(30_000)]
        assert dead() is not None
    assert dead() is None
    assert len(many) == 30_000


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="nothing is frozen for a moment there")
def test_an_interrupt_while_it_looks_leaves_it_running(nothing_frozen: None) -> None:
    freeze = gc.freeze

    def freeze_and_be_interrupted() -> None:
        freeze()
        raise KeyboardInterrupt

    with (
        mock.patch.object(gc, "freeze", freeze_and_be_interrupted),
        pytest.raises(KeyboardInterrupt),
        collector_paused(),
    ):
        many = [[number] for number in range(30_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert len(many) == 30_000


def test_what_somebody_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        with collector_paused():
            many = [[number] for number in range(30_000)]
        assert before - 1000 < gc.get_freeze_count() <= before
    finally:
        gc.unfreeze()
    assert len(many) == 30_000


def test_it_does_not_look_if_its_threshold_turns_it_off() -> None:
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with noted() as collections, collector_paused():
            many = [[number] for number in range(30_000)]
        assert (collections, len(many)) == ([], 30_000)
    finally:
        gc.set_threshold(*before)


def test_within_another_pause_it_stays_paused_until_that_ends() -> None:
    with collector_paused():
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_looks_at_a_graph_once_for_each_piece() -> None:
    graph = {f"x-{n}": Task(f"x-{n}", sum, [n, [n], {n: n}]) for n in range(4 * PIECE)}
    made = GraphSubmission(graph, list(graph), Annotated(submission.options(), {}, ()), set[str]().__contains__)
    with noted() as collections:
        assert len(list(made.messages())) == 4
    assert len(collections) <= 4


@with_client
async def test_it_looks_at_a_map_once_for_many_messages(stage: ClientStage, client: Client) -> None:
    with noted() as collections:
        futures = client.map(operator.neg, range(50 * submission.MAP_BATCH))
    assert len(futures) == 50 * submission.MAP_BATCH
    assert len(collections) <= 5, "one for 16 messages, and one more for what the loop may do meanwhile"
    assert gc.isenabled()


@with_client
async def test_it_looks_while_a_long_map_is_made(stage: ClientStage, client: Client) -> None:
    class Loop:
        """Refers to itself."""

        def __init__(self, n: int) -> None:
            self.me = self
            self.n = n

    alive = weakref.WeakSet[Loop]()
    most = 0

    class Numbers:
        """Leaves garbage with each number."""

        def __len__(self) -> int:
            return 100 * submission.MAP_BATCH

        def __iter__(self) -> Iterator[int]:
            nonlocal most
            for n in range(len(self)):
                alive.add(Loop(n))
                most = max(most, len(alive))
                yield n

    client.map(operator.neg, Numbers())
    assert most < 20 * submission.MAP_BATCH
