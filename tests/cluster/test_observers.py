from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from nbcluster.cluster.observers import Observers
from nbcluster.comm.tasks import TaskOwner
from nbcluster.snapshot import ClusterView
from tests.support.eventually import soon
from tests.support.fake_cluster import make_view

SHORT = 0.001
NEVER = 1000.0


class Watched:
    """Something that changes, and counts how often it was looked at."""

    def __init__(self, tasks: TaskOwner) -> None:
        self.tasks = tasks
        self.changes = 0
        self.views = 0
        self.observers = Observers(self._make_view, lambda: self.changes, tasks)

    def _make_view(self) -> ClusterView:
        self.views += 1
        return make_view(workers=0, requested=self.changes)


def _last_is(seen: list[int], number: int) -> bool:
    return seen[-1:] == [number]


def watched(test: Callable[[Watched], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        tasks = TaskOwner("test")
        try:
            await asyncio.wait_for(test(Watched(tasks)), 20)
        finally:
            await tasks.close()

    asyncio.run(main())


def test_observers_are_told_of_changes() -> None:
    async def test(it: Watched) -> None:
        seen: list[int] = []
        it.observers.add(lambda view: seen.append(view.requested), SHORT)
        for number in (1, 2):
            it.changes = number
            await soon(functools.partial(_last_is, seen, number))
        assert seen == [1, 2]

    watched(test)


def test_without_changes_nobody_is_told_and_nothing_is_made() -> None:
    async def test(it: Watched) -> None:
        seen: list[ClusterView] = []
        other: list[ClusterView] = []
        it.observers.add(seen.append, SHORT)
        it.changes = 1
        await soon(lambda: seen)
        it.observers.add(other.append, SHORT)
        for _ in range(5):
            await asyncio.sleep(SHORT)
        assert (len(seen), len(other), it.views) == (1, 0, 1)

    watched(test)


def test_a_view_is_made_once_for_all() -> None:
    async def test(it: Watched) -> None:
        seen: list[list[ClusterView]] = [[] for _ in range(5)]
        for one in seen:
            it.observers.add(one.append, NEVER)
        it.observers.poke()
        await soon(lambda: all(seen))
        assert it.views == 1

    watched(test)


def test_nobody_is_told_before_his_interval_is_over() -> None:
    async def test(it: Watched) -> None:
        patient: list[ClusterView] = []
        eager: list[ClusterView] = []
        it.observers.add(patient.append, NEVER)
        it.observers.add(eager.append, SHORT)
        it.changes = 1
        await soon(lambda: eager)
        assert patient == []

    watched(test)


def test_what_is_important_is_told_at_once() -> None:
    async def test(it: Watched) -> None:
        seen: list[ClusterView] = []
        it.observers.add(seen.append, NEVER)
        it.observers.poke()
        await soon(lambda: seen)

    watched(test)


def test_who_has_left_hears_nothing_and_the_watch_ends() -> None:
    async def test(it: Watched) -> None:
        seen: list[ClusterView] = []
        leave = it.observers.add(seen.append, SHORT)
        leave()
        leave()
        it.changes = 1
        it.observers.poke()
        await soon(lambda: not it.tasks)
        assert seen == []
        it.observers.add(seen.append, SHORT)
        it.changes = 2
        await soon(lambda: seen)

    watched(test)


def test_an_observer_that_fails_is_told_no_more_and_the_others_are(caplog: pytest.LogCaptureFixture) -> None:
    async def test(it: Watched) -> None:
        seen: list[int] = []
        failures: list[ClusterView] = []

        def fail(view: ClusterView) -> None:
            failures.append(view)
            raise LookupError("an observer's own fault")

        it.observers.add(fail, SHORT)
        it.observers.add(lambda view: seen.append(view.requested), SHORT)
        for number in (1, 2):
            it.changes = number
            await soon(functools.partial(_last_is, seen, number))
        assert len(failures) == 1

    with caplog.at_level(logging.ERROR):
        watched(test)
    assert "an observer's own fault" in caplog.text


def test_while_nothing_changes_the_next_look_is_on_the_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_beat: list[float] = []

    def until_beat(interval: float) -> float:
        on_the_beat.append(interval)
        return NEVER

    monkeypatch.setattr("nbcluster.cluster.observers.until_beat", until_beat)

    async def test(it: Watched) -> None:
        seen: list[int] = []
        it.observers.add(lambda view: seen.append(view.requested), SHORT)
        it.changes = 1
        await soon(lambda: on_the_beat)
        assert (seen, on_the_beat) == ([1], [SHORT])

    watched(test)
