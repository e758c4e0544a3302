"""Workers that are threads: who starts them, and who does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from nbcluster.cluster import thread_crew
from nbcluster.cluster.thread_crew import ThreadCrew
from tests.support.eventually import soon
from tests.support.links import DEADLINE


class Stage:
    """A crew of workers that do nothing, and end when ``may_end`` is set."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.started: list[Any] = []
        self.stopping: list[Any] = []
        self.may_end = asyncio.Event()
        self._tasks = list[asyncio.Future[Any]]()
        stage = self

        class Worker:
            def __init__(self, name: Any, token: bytes, clients: object) -> None:
                self.name = name

            async def start(self) -> None:
                stage.started.append(self.name)

            async def close(self) -> None:
                stage.stopping.append(self.name)
                await stage.may_end.wait()

        patch.setattr(thread_crew, "WorkerServer", Worker)
        patch.setattr(ThreadCrew, "_config", lambda crew, name: name)
        runtime: Any = SimpleNamespace(
            token=b"",
            tasks=SimpleNamespace(start=lambda work, name: self._tasks.append(asyncio.ensure_future(work))),
            roster=SimpleNamespace(names=[]),
            spec=SimpleNamespace(memory_limit=None),
        )
        self.crew = ThreadCrew(runtime, lambda *args: None)  # type: ignore[arg-type]


def staged(test: Callable[[Stage], Awaitable[None]]) -> Callable[[pytest.MonkeyPatch], None]:
    def wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
        async def main() -> None:
            stage = Stage(monkeypatch)
            stage.crew.hire([0, 1])
            await soon(lambda: stage.started == [0, 1])
            await test(stage)

        asyncio.run(asyncio.wait_for(main(), DEADLINE))

    wrapper.__name__ = test.__name__
    return wrapper


@staged
async def test_a_restart_starts_those_again_that_it_has_stopped(stage: Stage) -> None:
    stage.may_end.set()
    await stage.crew.restart([1])
    await soon(lambda: stage.started == [0, 1, 1])
    assert stage.stopping == [1]
    assert list(stage.crew.slots) == [0, 1]


@staged
async def test_what_is_dismissed_while_a_restart_stops_it_is_not_started_again(stage: Stage) -> None:
    restart = asyncio.ensure_future(stage.crew.restart())
    await soon(lambda: stage.stopping == [0])
    await stage.crew.dismiss(0)
    assert list(stage.crew.slots) == [1]
    stage.may_end.set()
    await restart
    await soon(lambda: stage.started == [0, 1, 1])
    assert list(stage.crew.slots) == [1]


@staged
async def test_what_is_closed_while_a_restart_stops_it_stays_closed(stage: Stage) -> None:
    restart = asyncio.ensure_future(stage.crew.restart())
    await soon(lambda: stage.stopping == [0])
    closing = asyncio.ensure_future(stage.crew.close())
    await soon(lambda: stage.stopping == [0, 1])
    stage.may_end.set()
    await asyncio.gather(restart, closing)
    for _ in range(3):
        await asyncio.sleep(0)
    assert (stage.started, list(stage.crew.slots)) == ([0, 1], [])
