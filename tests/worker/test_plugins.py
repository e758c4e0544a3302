"""The plugins of one worker: in which order their hooks run, and what they are told."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from nbcluster.plugins.base import WorkerPlugin
from nbcluster.worker.plugins import WorkerPlugins
from nbcluster.worker.state import ERRED, FINISHED, NEW, READY, WAITING, WorkerState


class Noting(WorkerPlugin):
    """Notes what it is called for, and where."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name = name
        self.log = log

    def setup(self, worker: Any) -> None:
        self.log.append(("setup", self.name, worker))
        assert threading.current_thread() is not threading.main_thread()

    def teardown(self, worker: Any) -> None:
        self.log.append(("teardown", self.name, worker))


class Watching(WorkerPlugin):
    """Wants to know of transitions."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def transition(self, key: str, start: str, finish: str, **kwargs: Any) -> None:
        self.seen.append((key, start, finish))


class Failing(WorkerPlugin):
    def setup(self, worker: Any) -> None:
        raise ValueError("no model here")

    def transition(self, key: str, start: str, finish: str, **kwargs: Any) -> None:
        raise ValueError("not this one")


def test_they_are_set_up_in_order_and_torn_down_the_latest_first() -> None:
    log: list[Any] = []

    async def main() -> None:
        plugins = WorkerPlugins("worker")
        for name in ("a", "b"):
            await plugins.add(Noting(name, log), "worker", name)
        assert list(plugins.by_name) == ["a", "b"]
        await plugins.close()
        assert plugins.by_name == {}

    asyncio.run(main())
    assert log == [(what, name, "worker") for what, name in zip(["setup"] * 2 + ["teardown"] * 2, "abba", strict=True)]


def test_one_of_the_same_name_takes_the_place_of_the_former() -> None:
    log: list[Any] = []

    async def main() -> None:
        plugins = WorkerPlugins("worker")
        first, second = Noting("first", log), Noting("second", log)
        await plugins.add(first, "worker", "x")
        await plugins.add(second, "worker", "x")
        assert plugins.by_name == {"x": second}
        await plugins.remove("worker", "x")
        await plugins.remove("worker", "x")

    asyncio.run(main())
    assert [what for what, *_ in log] == ["setup", "teardown", "setup", "teardown"]


def test_hooks_may_be_coroutine_functions_which_run_on_the_loop() -> None:
    class OnLoop(WorkerPlugin):
        async def setup(self, worker: Any) -> None:
            await asyncio.sleep(0)
            worker.append(threading.current_thread())

    async def main() -> None:
        worker: list[Any] = []
        await WorkerPlugins(worker).add(OnLoop(), "worker", "x")
        assert worker == [threading.current_thread()]

    asyncio.run(main())


def test_one_that_cannot_be_set_up_is_not_there_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        plugins = WorkerPlugins("worker")
        with pytest.raises(ValueError, match="no model here"):
            await plugins.add(Failing(), "worker", "model")
        assert plugins.by_name == {}

    asyncio.run(main())
    assert "The plugin 'model' could not be set up here" in caplog.text


def test_one_that_cannot_be_torn_down_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    log: list[Any] = []

    class Stuck(WorkerPlugin):
        def teardown(self, worker: Any) -> None:
            raise ValueError("stuck")

    async def main() -> None:
        plugins = WorkerPlugins("worker")
        await plugins.add(Noting("a", log), "worker", "a")
        await plugins.add(Stuck(), "worker", "stuck")
        await plugins.close()

    asyncio.run(main())
    assert log[-1] == ("teardown", "a", "worker")
    assert "The plugin 'stuck' failed when it was torn down" in caplog.text


def test_transitions_are_told_by_the_names_that_users_know_as_long_as_somebody_wants_to_know() -> None:
    async def main() -> None:
        plugins, state, watching = WorkerPlugins("worker"), WorkerState(), Watching()
        plugins.observe(state)
        await plugins.add(watching, "worker", "watching")
        for before, after in ((NEW, WAITING), (WAITING, READY), (READY, FINISHED), (READY, ERRED)):
            state.story.note((0.0, "x", 1, before, after))
        assert plugins.fresh
        plugins.tell()
        assert watching.seen == [
            ("x", "released", "waiting"),
            ("x", "waiting", "ready"),
            ("x", "executing", "memory"),
            ("x", "executing", "error"),
        ]
        assert not plugins.fresh
        await plugins.remove("worker", "watching")
        assert len(state.story) == 4, "the story goes on"
        state.story.note((0.0, "x", 1, NEW, WAITING))
        assert not plugins.fresh

    asyncio.run(main())


def test_one_that_fails_over_a_transition_does_not_keep_the_others_from_it(caplog: pytest.LogCaptureFixture) -> None:
    class FailingLater(Failing):
        def setup(self, worker: Any) -> None:
            """It begins well."""

    async def main() -> None:
        plugins, state, watching = WorkerPlugins("worker"), WorkerState(), Watching()
        plugins.observe(state)
        await plugins.add(FailingLater(), "worker", "failing")
        await plugins.add(watching, "worker", "watching")
        state.story.note((0.0, "x", 1, NEW, WAITING))
        plugins.tell()
        assert watching.seen == [("x", "released", "waiting")]

    asyncio.run(main())
    assert "failed over the transition of x" in caplog.text
