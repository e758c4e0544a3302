"""A cluster in this very process, as an engine."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nbcluster.cluster.spec import make_spec
from nbcluster.commands import Close, GetLogs, GetView, Logs, Restart, Scale, SetOwner, View
from nbcluster.engines.in_process import InProcessEngine
from nbcluster.errors import ClusterClosedError, ClusterError
from nbcluster.snapshot import ClusterView, OwnerView
from nbcluster.types import Status
from tests.support.eventually import soon


def make_engine(**keywords: Any) -> InProcessEngine:
    small = {"name": "ada", "n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    return InProcessEngine(make_spec(**{**small, **keywords}))


def with_engine(test: Callable[[InProcessEngine], Awaitable[None]], **keywords: Any) -> None:
    async def main() -> None:
        engine = make_engine(**keywords)
        try:
            await engine.start()
            await test(engine)
        finally:
            await engine.close()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_before_the_start_there_is_a_view_of_what_was_asked_for() -> None:
    async def main() -> None:
        engine = make_engine()
        assert (engine.status, engine.address) == (Status.CREATED, "")
        assert (engine.view.name, engine.view.requested, engine.view.workers) == ("ada", 2, [])

    asyncio.run(main())


def test_it_starts_with_its_workers() -> None:
    async def test(engine: InProcessEngine) -> None:
        view = engine.view
        assert (engine.status, view.status, view.name) == (Status.RUNNING, Status.RUNNING, "ada")
        assert [(worker.name, worker.status, worker.nthreads) for worker in view.workers] == [
            (0, Status.RUNNING, 1),
            (1, Status.RUNNING, 1),
        ]
        assert view.address == engine.address == engine.access.address
        assert view.capacity >= 2
        assert not engine.shared

    with_engine(test)


def test_the_way_in_does_not_show_its_secret() -> None:
    async def test(engine: InProcessEngine) -> None:
        assert len(engine.access.token) >= 16
        assert repr(engine.access.token) not in repr(engine.access)

    with_engine(test)


def test_it_carries_out_commands() -> None:
    async def test(engine: InProcessEngine) -> None:
        answer = await engine.call(Scale(n=3))
        assert isinstance(answer, View)
        assert answer.cluster.requested == 3
        await soon(lambda: len([w for w in engine.view.workers if w.status == Status.RUNNING]) == 3)
        await engine.call(Scale(n=0))
        await soon(lambda: engine.view.workers == [])
        assert isinstance(await engine.call(GetLogs()), Logs)
        owner = OwnerView(kind="notebook", path="a.ipynb")
        await engine.call(SetOwner(owner=owner))
        assert engine.view.owner == owner

    with_engine(test)


def test_a_wrong_command_is_refused() -> None:
    async def test(engine: InProcessEngine) -> None:
        with pytest.raises(ValueError, match="n=-1"):
            await engine.call(Scale(n=-1))
        assert engine.view.requested == 2

    with_engine(test)


def test_a_restart_replaces_every_worker() -> None:
    async def test(engine: InProcessEngine) -> None:
        before = {worker.name for worker in engine.view.workers}
        await engine.call(Restart())
        await soon(lambda: {w.name for w in engine.view.workers if w.status == Status.RUNNING} == before)

    with_engine(test)


def test_who_subscribes_is_told_until_he_leaves() -> None:
    async def test(engine: InProcessEngine) -> None:
        seen: list[ClusterView] = []
        leave = engine.subscribe(seen.append, 0.01)
        await engine.call(Scale(n=1))
        await soon(lambda: seen and seen[-1].requested == 1)
        leave()
        seen.clear()
        await engine.call(Scale(n=2))
        await engine.call(GetView())
        assert seen == []

    with_engine(test)


@pytest.mark.parametrize("interval", [0, -1.0, float("inf"), float("nan")])
def test_views_come_at_intervals_above_0(interval: float) -> None:
    async def test(engine: InProcessEngine) -> None:
        with pytest.raises(ValueError, match=f"interval={interval}.* is out of range"):
            engine.subscribe(lambda view: None, interval)

    with_engine(test)


def test_it_closes_when_it_is_asked_to_and_keeps_its_last_view() -> None:
    async def test(engine: InProcessEngine) -> None:
        assert await engine.call(Close(reason="enough")) is None
        await soon(lambda: engine.status == Status.CLOSED)
        assert (engine.view.name, engine.view.workers) == ("ada", [])
        with pytest.raises(ClusterClosedError, match="'ada' is closed"):
            await engine.call(GetView())

    with_engine(test)


def test_closing_twice_is_closing_once() -> None:
    async def test(engine: InProcessEngine) -> None:
        await asyncio.gather(engine.close(), engine.close())
        await engine.close()
        assert engine.status == Status.CLOSED

    with_engine(test)


def test_a_start_that_fails_says_why_and_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            engine = make_engine(scheduler_port=port)
            with pytest.raises(ClusterError, match=f"scheduler_port={port} on '127.0.0.1' is not to be had"):
                await engine.start()
            assert engine.status == Status.FAILED
            await engine.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert others == []

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert caplog.records == []
