"""The cluster façade, over an engine that is nothing but memory."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nbcluster.cluster.base import Cluster
from nbcluster.comm.loop import background
from nbcluster.commands import Adapt, GetLogs, Scale
from nbcluster.engines.registry import EngineSpec
from nbcluster.errors import ClusterClosedError, ClusterError, WorkerStartTimeoutError
from nbcluster.snapshot import WorkerView
from nbcluster.types import Status
from tests.support.eventually import eventually
from tests.support.fake_engine import FakeEngine

GIB = 2**30


def make_engine(n_workers: int = 2, **options: Any) -> FakeEngine:
    return FakeEngine(EngineSpec(id="c1", name="ada", keywords={"n_workers": n_workers}), **options)


@pytest.fixture
def engine() -> FakeEngine:
    return make_engine()


@pytest.fixture
def cluster(engine: FakeEngine) -> Iterator[Cluster]:
    with Cluster(engine, "ada") as cluster:
        yield cluster


def on_loop(function: Any, *args: Any, **kwargs: Any) -> None:
    """Have the engine do something on its own loop, and wait for it."""

    async def call() -> None:
        function(*args, **kwargs)

    background().sync(call)


# --- life ---


def test_it_starts_its_engine(engine: FakeEngine) -> None:
    cluster = Cluster(engine, "ada")
    assert {engine.status, cluster.status} == {Status.RUNNING}
    cluster.close()
    assert {engine.status, cluster.status} == {Status.CLOSED}


def test_a_start_that_fails_is_told_and_leaves_nothing() -> None:
    before = threading.active_count()
    with pytest.raises(ClusterError, match="no disk"):
        Cluster(make_engine(failure="no disk"), "ada")
    eventually(lambda: threading.active_count() == before)


def test_closing_twice_is_closing_once(engine: FakeEngine) -> None:
    cluster = Cluster(engine, "ada")
    cluster.close()
    cluster.close(timeout="1 s")
    assert not background().running


def test_the_loop_runs_while_there_is_a_cluster() -> None:
    first, second = Cluster(make_engine(), "a"), Cluster(make_engine(), "b")
    first.close()
    assert background().running
    second.close()
    assert not background().running


def test_a_closed_cluster_says_so(engine: FakeEngine) -> None:
    cluster = Cluster(engine, "ada")
    cluster.close()
    attempts: list[Callable[[], Any]] = [
        lambda: cluster.scale(1),
        cluster.adapt,
        cluster.get_logs,
        lambda: cluster.wait_for_workers(1),
    ]
    for attempt in attempts:
        with pytest.raises(ClusterClosedError, match="'ada' is closed"):
            attempt()


def test_one_that_nobody_holds_is_closed_with_a_warning() -> None:
    engine = make_engine()
    clusters = [Cluster(engine, "ada")]
    with pytest.warns(ResourceWarning, match="unclosed cluster Cluster"):
        clusters.clear()
    eventually(lambda: engine.status == Status.CLOSED)
    eventually(lambda: not background().running)


def test_one_that_others_keep_is_let_go_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    class Shared(FakeEngine):
        shared = True
        detached = False

        async def detach(self) -> None:
            self.detached = True

    engine = Shared(EngineSpec(id="c1", name="ada"))
    cluster = Cluster(engine, "ada")
    del cluster
    gc.collect()
    eventually(lambda: engine.detached)
    assert engine.status == Status.RUNNING
    assert not recwarn.list


def test_plain_with_is_not_for_asynchronous_ones() -> None:
    cluster = Cluster(make_engine(), "ada", asynchronous=True)
    with pytest.raises(TypeError, match="async with"), cluster:
        pass


def test_it_is_awaited_on_any_loop() -> None:
    async def main() -> None:
        engine = make_engine(n_workers=1)
        cluster = await Cluster(engine, "ada", asynchronous=True)
        assert cluster.loop is asyncio.get_running_loop()
        await cluster.scale(3)
        await cluster.wait_for_workers(3)
        assert len(cluster.workers) == 3
        await cluster.get_logs()
        await cluster.close()
        await cluster.close()
        assert engine.status == Status.CLOSED
        async with Cluster(make_engine(), "bob", asynchronous=True) as other:
            assert str(other.status) == "running"
        assert str(other.status) == "closed"

    asyncio.run(main())
    assert not background().running


# --- what it is ---


def test_it_shows_what_the_engine_shows(cluster: Cluster, engine: FakeEngine) -> None:
    assert cluster.view is engine.view
    assert cluster.engine is engine
    assert set(cluster.workers) == cluster.plan == cluster.requested == cluster.observed == {0, 1}
    assert cluster.scheduler_info["n_workers"] == 2
    assert cluster.scheduler_info["workers"].keys() == {"unix://0", "unix://1"}


def test_workers_that_come_and_go_are_told_apart(cluster: Cluster, engine: FakeEngine) -> None:
    workers = [
        WorkerView(name=0, address="unix://0", status=Status.RUNNING),
        WorkerView(name=1, address="unix://1", status=Status.RETIRING),
        WorkerView(name=2, status=Status.STARTING),
    ]
    on_loop(engine.change, workers=workers)
    assert cluster.plan == {0, 2}
    assert cluster.requested == {0, 1, 2}
    assert cluster.observed == {0, 1}


@pytest.mark.parametrize(
    ("name", "limits", "expected"),
    [
        ("ada", [None, None], "Cluster(ada, 'tcp://x:1', workers=2, threads=4)"),
        ("", [GIB, GIB], "Cluster(\"\", 'tcp://x:1', workers=2, threads=4, memory=2.00 GiB)"),
        ("ada", [GIB, None], "Cluster(ada, 'tcp://x:1', workers=2, threads=4)"),
        ("ada", [], "Cluster(ada, 'tcp://x:1', workers=0, threads=0)"),
    ],
)
def test_its_repr(engine: FakeEngine, name: str, limits: list[int | None], expected: str) -> None:
    with Cluster(engine, name) as cluster:
        workers = [
            WorkerView(name=n, address=f"unix://{n}", nthreads=2, memory_limit=limit) for n, limit in enumerate(limits)
        ]
        on_loop(engine.change, address="tcp://x:1", workers=workers)
        assert repr(cluster) == expected


def test_clusters_are_equal_by_type_and_name() -> None:
    class Other(Cluster):
        pass

    with Cluster(make_engine(), "a") as a, Cluster(make_engine(), "a") as twin, Other(make_engine(), "a") as other:
        assert a == twin
        assert a != other
        assert len({a, twin}) == 2


def test_a_port_shows_it_in_notebooks(cluster: Cluster) -> None:
    assert cluster._repr_mimebundle_() == {"text/plain": repr(cluster)}

    class Shown(Cluster):
        renderer = staticmethod(lambda cluster: {"text/html": f"<b>{cluster.name}</b>"})

    with Shown(make_engine(), "ada") as shown:
        assert shown._repr_mimebundle_() == {"text/html": "<b>ada</b>"}


# --- what it does ---


@pytest.mark.parametrize(
    ("arguments", "n"),
    [
        ((3,), 3),
        ((0,), 0),
        ((None, None, 5), 3),
        ((1, None, 4), 2),
        ((None, "3GiB", None), 3),
        ((None, GIB + 1, None), 2),
        ((4, "1GiB", 2), 4),
    ],
)
def test_scale_becomes_a_number_of_workers(engine: FakeEngine, arguments: Any, n: int) -> None:
    with Cluster(engine, "ada") as cluster:
        workers = [WorkerView(name=0, address="unix://0", memory_limit=GIB)]
        on_loop(engine.change, workers=workers, threads_per_worker=2)
        assert cluster.scale(*arguments) is None
        assert engine.commands == [Scale(n=n)]


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"n": None}, TypeError, "n=None"),
        ({"n": -1}, ValueError, "n=-1"),
        ({"n": 1.5}, TypeError, "n=1.5"),
        ({"n": True}, TypeError, "n=True"),
        ({"n": "3"}, TypeError, "n='3'"),
        ({"memory": "lots"}, ValueError, "memory='lots'"),
        ({"memory": "1GiB"}, ValueError, "memory"),
        ({"memory": 1.5j}, TypeError, "memory="),
        ({"cores": "four"}, TypeError, "cores="),
        ({"cores": -1}, ValueError, "cores="),
        ({"n": 1, "cores": "four"}, TypeError, "cores="),
    ],
    ids=str,
)
def test_scale_says_what_is_wrong(
    cluster: Cluster, engine: FakeEngine, arguments: dict[str, Any], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        cluster.scale(**arguments)
    assert engine.commands == []


def test_adapt_becomes_limits_and_seconds(cluster: Cluster, engine: FakeEngine) -> None:
    cluster.adapt(minimum=1, maximum=10, interval="20 ms", target_duration="1 min", wait_count=5)
    cluster.adapt(maximum=float("inf"))
    cluster.adapt()
    assert engine.commands == [
        Adapt(minimum=1, maximum=10, interval=0.02, target_duration=60.0, wait_count=5),
        Adapt(minimum=0, maximum=None),
        Adapt(),
    ]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"minimum": -1}, "minimum=-1"),
        ({"minimum": 2.5}, "minimum=2.5"),
        ({"maximum": 0.5}, "maximum=0.5"),
        ({"minimum": 3, "maximum": 2}, "maximum=2 is less than minimum=3"),
        ({"interval": 0}, "interval="),
        ({"interval": "now"}, "interval='now'"),
        ({"target_duration": float("inf")}, "target_duration="),
        ({"wait_count": 0}, "wait_count=0"),
        ({"Adaptive": object}, "subclass of nbcluster.Adaptive"),
        ({"minimum_cores": -1}, "minimum_cores=-1"),
        ({"maximum_memory": "x"}, "maximum_memory='x'"),
        ({"intervall": 1}, "intervall"),
    ],
    ids=str,
)
def test_adapt_says_what_is_wrong(cluster: Cluster, engine: FakeEngine, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        cluster.adapt(**arguments)
    assert engine.commands == []


def test_logs_by_source(cluster: Cluster, engine: FakeEngine) -> None:
    on_loop(engine.log, "made")
    on_loop(engine.log, "hello", level="STDOUT", worker="unix://0")
    on_loop(engine.log, "last words", level="STDERR", worker="unix://gone")
    everything = {"Cluster": "made", "Scheduler": "", "unix://0": "hello", "unix://1": "", "unix://gone": "last words"}
    assert cluster.get_logs() == everything
    assert cluster.get_logs(cluster=False, scheduler=False, workers=["unix://0"]) == {"unix://0": "hello"}
    assert cluster.get_logs(workers=False) == {"Cluster": "made", "Scheduler": ""}
    assert all(isinstance(command, GetLogs) for command in engine.commands)


def test_waiting_for_workers_ends_when_they_are_there(cluster: Cluster, engine: FakeEngine) -> None:
    cluster.wait_for_workers(2)
    thread = threading.Thread(target=cluster.wait_for_workers, args=(4,))
    thread.start()
    cluster.scale(4)
    thread.join(20)
    assert not thread.is_alive()


def test_waiting_for_workers_gives_up(cluster: Cluster) -> None:
    with pytest.raises(WorkerStartTimeoutError, match=r"Only 2/3 workers arrived after 0\.02 s") as caught:
        cluster.wait_for_workers(3, timeout="20 ms")
    assert (caught.value.available, caught.value.expected) == (2, 3)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "two"])
def test_a_number_of_workers_is_a_positive_whole_number(cluster: Cluster, number: Any) -> None:
    with pytest.raises(ValueError, match="n_workers="):
        cluster.wait_for_workers(number)


def test_a_synchronous_method_on_the_loop_itself_is_refused(cluster: Cluster) -> None:
    async def misuse() -> None:
        cluster.scale(1)

    with pytest.raises(RuntimeError, match="asynchronous=True"):
        background().sync(misuse)


def test_an_engine_that_dies_shows(cluster: Cluster, engine: FakeEngine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        on_loop(engine.die, "was killed by SIGKILL")
    assert cluster.status == Status.FAILED
    assert "workers=0" in repr(cluster)
    with pytest.raises(ClusterClosedError):
        cluster.scale(1)
