"""A cluster in a process of its own, as whoever started it sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from nbcluster.commands import Scale
from nbcluster.engines.native import ProcessEngine, RemoteEngine, create
from nbcluster.engines.registry import EngineSpec
from nbcluster.errors import ClusterClosedError, ClusterError, CommError
from nbcluster.snapshot import ClusterView
from nbcluster.types import Status
from tests.support.eventually import soon

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def spec(**changes: Any) -> EngineSpec:
    wanted: dict[str, Any] = {"keywords": {"n_workers": 1, "threads_per_worker": 1}, **changes}
    return EngineSpec(id="0123456789abcdef", name="test", **wanted)


@contextlib.asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[ProcessEngine]:
    engine = create(spec(**changes))
    assert isinstance(engine, ProcessEngine)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()
        assert not psutil.pid_exists(engine.pid)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def _is_socket(path: str) -> bool:
    return Path(path).is_socket()


def _environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


def test_it_starts_obeys_and_ends() -> None:
    async def test() -> None:
        views: list[ClusterView] = []
        engine = create(spec())
        assert isinstance(engine, ProcessEngine)
        unsubscribe = engine.subscribe(views.append)
        assert (engine.status, engine.address, engine.dashboard_socket) == (Status.CREATED, "", "")
        await engine.start()
        assert engine.status is Status.RUNNING
        assert [view.status for view in views][:1] == [Status.STARTING]
        assert views[-1].status is Status.RUNNING
        assert (engine.view.id, engine.view.name) == ("0123456789abcdef", "test")
        assert _is_socket(engine.dashboard_socket)
        await engine.call(Scale(n=2))
        await soon(lambda: len(views[-1].workers) == 2)
        with pytest.raises(ValueError, match="n=-1"):
            await engine.call(Scale(n=-1))
        unsubscribe()
        seen = len(views)
        for _ in range(2):
            await engine.close()
        assert len(views) == seen
        last = engine.view
        assert (last.status, last.workers) == (Status.CLOSED, [])
        assert not psutil.pid_exists(engine.pid)
        with pytest.raises(ClusterClosedError):
            await engine.call(Scale(n=1))

    run(test())


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="there is no way but to ask")
def test_the_end_of_the_process_is_noticed_and_not_asked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with running() as engine:
            asked: list[float] = []
            monkeypatch.setattr("nbcluster.engines.native.asyncio.sleep", asked.append)
            await engine.close()
            monkeypatch.undo()
            assert asked == []

    run(test())


def test_a_process_that_is_killed_is_told_with_its_signal() -> None:
    async def test() -> None:
        async with running() as engine:
            views: list[ClusterView] = []
            engine.subscribe(views.append)
            os.kill(engine.pid, signal.SIGKILL)
            await soon(lambda: views and views[-1].status is Status.FAILED)
            assert engine.status is Status.FAILED
            assert "was killed by SIGKILL" in views[-1].message
            assert views[-1].workers == []

    run(test())


def test_a_cluster_that_somebody_else_closes_is_told_as_closed() -> None:
    async def test() -> None:
        async with running() as engine:
            views: list[ClusterView] = []
            engine.subscribe(views.append)
            other = RemoteEngine(engine.address)
            await other.start()
            await other.close()
            await soon(lambda: views and views[-1].status is Status.CLOSED)
            assert engine.status is Status.CLOSED

    run(test())


def test_who_only_looked_in_leaves_it_running() -> None:
    async def test() -> None:
        async with running() as engine:
            other = RemoteEngine(engine.address)
            await other.start()
            assert other.shared
            await other.detach()
            assert other.status is Status.CLOSED
            await engine.call(Scale(n=1))

    run(test())


def test_nobody_at_an_address_is_said_at_once() -> None:
    async def test() -> None:
        with pytest.raises(CommError, match=r"127\.0\.0\.1:9"):
            await RemoteEngine("tcp://127.0.0.1:9").start()

    run(test())


class Witness:
    """A pickle that writes down where it was opened."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"import os; open({str(self.file)!r}, 'w').write(str(os.getpid()))",))


def test_keywords_are_opened_in_the_clusters_own_process_only(tmp_path: Path) -> None:
    file = tmp_path / "opened by"

    async def test() -> None:
        keywords = pickle.dumps({"n_workers": 1, "name": Witness(file)})
        async with running(keywords={}, pickled_keywords=keywords) as engine:
            assert file.read_text() == str(engine.pid)

    run(test())


def test_a_wrong_keyword_is_raised_as_itself() -> None:
    async def test() -> None:
        wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"n_workers": -1}, ValueError, "n_workers=-1"),
            ({"memory_limit": "abc"}, ValueError, "memory_limit='abc'"),
            ({"typo": 1}, TypeError, "'typo'"),
        ]
        for keywords, kind, says in wrong:
            engine = create(spec(pickled_keywords=pickle.dumps(keywords)))
            with pytest.raises(kind, match=says):
                await engine.start()
            assert engine.status is Status.FAILED
            await engine.close()

    run(test())


def test_an_interpreter_without_nbcluster_is_named() -> None:
    async def test() -> None:
        engine = create(spec(executable="/bin/false"))
        with pytest.raises(ClusterError, match=r"/bin/false .* nbcluster\.cluster\.process ended with code 1"):
            await engine.start()
        await engine.close()
        for changes in ({"executable": "/no/such/python"}, {"cwd": "/no/such/folder"}):
            engine = create(spec(**changes))
            with pytest.raises(ClusterError, match="/no/such/"):
                await engine.start()
            await engine.close()

    run(test())


def test_a_start_that_is_cancelled_leaves_no_process() -> None:
    async def test() -> None:
        before = {child.pid for child in psutil.Process().children()}
        for delay in (0.0, 0.01, 0.2):
            engine = create(spec())
            starting = asyncio.create_task(engine.start())
            await asyncio.sleep(delay)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            await engine.close()
            await soon(lambda: {child.pid for child in psutil.Process().children()} <= before)

    run(test())


def test_a_start_that_is_cancelled_waits_for_the_thread_that_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was given a file that is closed afterwards; a file of the same number could have taken its place."""

    async def test() -> None:
        begun, go_on = threading.Event(), threading.Event()
        launch, closed = ProcessEngine._launch, []

        def slowly(self: ProcessEngine) -> Any:
            begun.set()
            assert go_on.wait(20)
            assert self._errors is not None
            closed.append(self._errors.closed)
            return launch(self)

        monkeypatch.setattr(ProcessEngine, "_launch", slowly)
        engine = create(spec())
        starting = asyncio.create_task(engine.start())
        await soon(begun.is_set)
        starting.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert closed == [False]
        assert isinstance(engine, ProcessEngine)
        assert not psutil.pid_exists(engine.pid)

    run(test())


def test_a_directory_that_is_not_there_is_named() -> None:
    async def test() -> None:
        engine = create(spec(cwd="/no/such/place"))
        with pytest.raises(ClusterError, match="nothing can run in /no/such/place"):
            await engine.start()
        await engine.close()

    run(test())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_environment_among_keywords_that_are_opened_later_is_that_of_the_workers() -> None:
    async def test() -> None:
        keywords = {"n_workers": 1, "threads_per_worker": 1, "env": {"FLAVOUR": "vanilla"}}
        async with running(keywords={}, pickled_keywords=pickle.dumps(keywords)) as engine:
            [worker] = engine.view.workers
            assert worker.pid is not None
            assert "FLAVOUR=vanilla" in _environment(worker.pid)

    run(test())


def test_an_administrators_limit_is_the_default_too() -> None:
    async def test() -> None:
        async with running(keywords={"threads_per_worker": 1}, max_workers=1) as engine:
            assert len(engine.view.workers) == 1
            assert engine.view.capacity == 1
            with pytest.raises(ValueError, match="more than the administrator allows"):
                await engine.call(Scale(n=2))
        engine = ProcessEngine(spec(keywords={"n_workers": 2}, max_workers=1))
        with pytest.raises(ValueError, match="more than the administrator allows"):
            await engine.start()
        await engine.close()

    run(test())
