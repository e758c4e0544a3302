from __future__ import annotations

import gc
import threading
import weakref

import pytest

from nbcluster.comm import sampling
from nbcluster.comm.sampling import MOST_SLOTS, AtWork, History, Sampler
from nbcluster.protocol.profiles import nested
from tests.support.eventually import eventually

STACK = [("f", "x.py", 1)]


def test_a_history_is_asked_by_group_and_time() -> None:
    history = History()
    history.add("a", STACK, 100.0)
    history.add("a", STACK, 100.5)
    history.add("b", STACK, 110.0)
    assert history.profile().counts[0] == 3
    assert history.profile("a").counts[0] == 2
    assert history.profile(start=105.0).counts[0] == 1
    assert history.profile(stop=105.0).counts[0] == 2
    assert history.profile("a", start=105.0).counts[0] == 0


def test_a_long_history_is_kept_more_coarsely_and_whole() -> None:
    history = History()
    for second in range(10 * MOST_SLOTS):
        history.add("a", STACK, 1000.0 + 2 * second)
    assert len(history._slots) <= MOST_SLOTS
    assert history.profile().counts[0] == 10 * MOST_SLOTS
    assert history.profile(start=1000.0 + 2 * (10 * MOST_SLOTS - 3)).counts[0] == 3


class Worker:
    """A thread that waits in a function of its own."""

    def __init__(self) -> None:
        self.history = History()
        self.busy = False
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._begin, daemon=True)
        self.thread.start()

    def _begin(self) -> None:
        self.wait_here()

    def wait_here(self) -> None:
        self.done.wait(30)

    def at_work(self) -> list[AtWork]:
        begins = Worker._begin.__code__
        return [AtWork(self.history, "job", self.thread.ident or 0, begins)] if self.busy else []


def test_a_sampler_looks_only_while_there_is_work() -> None:
    worker = Worker()
    sampler = Sampler(worker.at_work)
    assert sampler.sample() == 0
    worker.busy = True
    sampler.wake()
    eventually(lambda: worker.history.profile("job").counts[0] > 2, "samples")
    worker.busy = False
    eventually(lambda: sampler.parked, "the sampler to rest")
    worker.done.set()
    sampler.close()


def test_work_that_is_given_while_a_sampler_is_about_to_park_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "REST", 0.02)
    worker = Worker()

    class Late(Sampler):
        """Is given work at its last moment awake."""

        def __setattr__(self, name: str, value: object) -> None:
            if name == "parked" and value and self.__dict__.get("parked") is False and not worker.busy:
                worker.busy = True
                self.wake()
            super().__setattr__(name, value)

    sampler = Late(worker.at_work)
    sampler.wake()
    eventually(lambda: worker.history.profile("job").counts[0] > 2, "samples")
    worker.done.set()
    sampler.close()


def test_work_that_no_thread_has_begun_yet_keeps_a_sampler_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "REST", 0.05)
    given = 0

    def at_work() -> list[AtWork]:
        nonlocal given
        given += 1
        sampler.wake()
        return []

    sampler = Sampler(at_work)
    sampler.wake()
    eventually(lambda: given >= 20, "looks")
    assert not sampler.parked
    sampler.close()


def test_stacks_begin_where_they_are_of_interest() -> None:
    worker = Worker()
    worker.busy = True
    sampler = Sampler(worker.at_work)
    eventually(lambda: sampler.sample() and worker.history.profile().counts[0], "a sample")
    [child] = nested(worker.history.profile())["children"].values()
    assert child["description"]["name"] == "wait_here"
    worker.done.set()


class Big:
    """What a task works on."""


def test_what_a_thread_worked_on_is_gone_with_it_however_often_it_was_looked_at() -> None:
    ready, done = threading.Event(), threading.Event()
    seen: list[weakref.ref[Big]] = []

    def work() -> None:
        big = Big()
        seen.append(weakref.ref(big))
        ready.set()
        done.wait(30)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(30)
    gc.collect()
    gc.disable()
    try:
        sampler = Sampler(lambda: [AtWork(History(), "a", thread.ident or 0)])
        for _ in range(3):
            assert sampler.sample() == 1
        done.set()
        thread.join()
        assert seen[0]() is None
    finally:
        gc.enable()
