"""``Adaptive`` as an object: over an engine that is nothing but memory, and over a simulated cluster with data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcluster.cluster.adapting import Adaptive
from nbcluster.cluster.base import Cluster
from nbcluster.commands import (
    Adapt,
    AnyAnswer,
    AnyCommand,
    GetView,
    Scale,
    StopAdapting,
    StopWorkers,
    View,
    WhoMayGo,
    Workers,
)
from nbcluster.engines.base import Engine, OnView
from nbcluster.engines.registry import EngineSpec
from nbcluster.protocol.messages import Scatter
from nbcluster.snapshot import ClusterView, TaskCounts, WorkerView
from nbcluster.types import Address, Status
from tests.support.eventually import soon
from tests.support.fake_engine import FakeEngine
from tests.support.simulated_cluster import Graph, SimulatedCluster

NEVER = "1 h"


class AsTold(Adaptive):
    """Wants what the test says."""

    wanted = 1

    async def target(self) -> int:
        if self.wanted < 0:
            raise LookupError("not now")
        return self.wanted


def with_cluster(
    test: Callable[[Cluster, FakeEngine], Coroutine[Any, Any, None]], n_workers: int = 2, **options: Any
) -> None:
    async def main() -> None:
        engine = FakeEngine(EngineSpec(id="c1", name="ada", keywords={"n_workers": n_workers}), **options)
        async with Cluster(engine, "ada", asynchronous=True) as cluster:
            await test(cluster, engine)

    asyncio.run(main())


def orders(engine: FakeEngine) -> list[AnyCommand]:
    """What the engine was told, apart from questions."""
    return [command for command in engine.commands if not isinstance(command, (GetView, WhoMayGo))]


# --- who decides ---


def test_where_nothing_is_overridden_the_cluster_decides() -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = await Adaptive(cluster, minimum=1, maximum=3, interval=NEVER)
        assert not adaptive.decides
        assert adaptive.state == "running"
        assert orders(engine) == [Adapt(minimum=1, maximum=3, interval=3600.0)]
        assert [entry["status"] for _, entry in adaptive.log] == ["same"]

    with_cluster(test)


@pytest.mark.parametrize(
    "overridden", ["target", "recommendations", "workers_to_close", "scale_up", "scale_down", "plan", "observed"]
)
def test_whatever_is_overridden_the_object_decides(overridden: str) -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        changed = type("Mine", (Adaptive,), {overridden: lambda self: None})
        adaptive = await changed(cluster, interval=NEVER)
        assert adaptive.decides
        assert orders(engine) == [StopAdapting()]

    with_cluster(test)


def test_workers_in_groups_are_chosen_by_the_object() -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = await Adaptive(cluster, interval=NEVER, worker_key=lambda worker: "all")
        assert adaptive.decides
        assert await adaptive.workers_to_close(1) == []
        assert sorted(map(int, await adaptive.workers_to_close(0))) == [0, 1]

    with_cluster(test)


# --- its life ---


def test_one_takes_the_place_of_the_other() -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        first = await AsTold(cluster, interval="1 ms")
        second = await Adaptive(cluster, interval=NEVER)
        assert (first.state, second.state) == ("stopped", "running")
        third = await AsTold(cluster, interval="1 ms")
        assert (second.state, third.state) == ("stopped", "running")
        assert cluster.status == Status.RUNNING
        await cluster.scale(2)
        assert third.state == "stopped"

    with_cluster(test)


def test_one_that_was_stopped_before_it_began_never_begins() -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = AsTold(cluster, interval="1 ms")
        adaptive.stop("not needed")
        await adaptive
        assert adaptive.state == "stopped"
        assert orders(engine) == []

    with_cluster(test)


def test_a_start_that_is_refused_is_told() -> None:
    class Refuses(FakeEngine):
        async def call(self, command: AnyCommand) -> AnyAnswer:
            if isinstance(command, Adapt):
                raise ValueError("minimum=9 is more than the administrator allows")
            return await super().call(command)

    engine = Refuses(EngineSpec(id="c1", name="ada"))
    with Cluster(engine, "ada") as cluster:
        with pytest.raises(ValueError, match="administrator allows"):
            Adaptive(cluster, minimum=9)
        with pytest.raises(ValueError, match="administrator allows"):
            cluster.adapt(minimum=9)


def test_a_start_that_is_refused_is_logged_where_nobody_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        engine.die("was killed by SIGKILL")
        adaptive = Adaptive(cluster)
        await soon(lambda: adaptive.state == "stopped")
        await soon(lambda: "could not do what it was to do" in caplog.text)

    with_cluster(test)


def test_it_ends_with_its_cluster() -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = await AsTold(cluster, interval="1 ms")
        engine.die("was killed by SIGKILL")
        await soon(lambda: adaptive.state == "stopped")

    with_cluster(test)


def test_a_look_that_fails_is_followed_by_another(caplog: pytest.LogCaptureFixture) -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = AsTold(cluster, interval="1 ms")
        adaptive.wanted = -1
        await soon(lambda: "it will be tried again" in caplog.text)
        adaptive.wanted = 4
        await soon(lambda: len(cluster.plan) == 4)

    with caplog.at_level(logging.ERROR):
        with_cluster(test)


def test_it_looks_at_once_when_it_is_to_hurry() -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = await AsTold(cluster, interval=NEVER, wait_count=1)
        adaptive.hurry()
        await soon(lambda: len(cluster.plan) == 1)

    with_cluster(test)


# --- one look ---


def test_a_target_stays_within_the_limits() -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = await AsTold(cluster, interval=NEVER, minimum=1, maximum=3)
        for wanted, within in ((0, 1), (2, 2), (9, 3)):
            adaptive.wanted = wanted
            assert await adaptive.safe_target() == within

    with_cluster(test)


def test_shrinking_waits_for_as_many_looks_as_it_was_told() -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = await AsTold(cluster, interval=NEVER, wait_count=3)
        engine.commands.clear()
        for _ in range(2):
            await adaptive.adapt()
        assert orders(engine) == []
        adaptive.wanted = 3
        await adaptive.adapt()
        adaptive.wanted = 1
        for _ in range(2):
            await adaptive.adapt()
        assert orders(engine) == [Scale(n=3)], "growing begins the count anew"
        await adaptive.adapt()
        assert orders(engine) == [Scale(n=3), StopWorkers(names=[2, 1])]
        assert [entry["status"] for _, entry in adaptive.log] == ["up", "down"]

    with_cluster(test)


def test_who_has_not_come_yet_is_the_first_to_go() -> None:
    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = await AsTold(cluster, interval=NEVER, wait_count=1)
        there = [WorkerView(name=name, address=f"unix://{name}", status=Status.RUNNING) for name in (1, 3)]
        coming = [WorkerView(name=name) for name in (0, 2)]
        engine.change(workers=[*there, *coming], requested=4)
        assert await adaptive.recommendations(3) == {"status": "down", "workers": [2]}
        assert await adaptive.recommendations(2) == {"status": "down", "workers": [2, 0]}
        assert await adaptive.recommendations(1) == {"status": "down", "workers": [2, 0, 3]}

    with_cluster(test)


def test_an_unknown_recommendation_is_an_error() -> None:
    class Sideways(Adaptive):
        async def recommendations(self, target: int) -> dict[str, Any]:
            return {"status": "sideways"}

    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = await Sideways(cluster, interval=NEVER)
        with pytest.raises(ValueError, match=r"status='sideways'; there are 'same', 'up' and 'down'"):
            await adaptive.adapt()

    with_cluster(test)


def test_a_look_while_another_is_under_way_does_nothing() -> None:
    class Slow(Adaptive):
        looks = 0

        async def target(self) -> int:
            self.looks += 1
            await asyncio.sleep(0)
            return 2

    async def test(cluster: Cluster, engine: FakeEngine) -> None:
        adaptive = await Slow(cluster, interval=NEVER)
        await asyncio.gather(adaptive.adapt(), adaptive.adapt())
        assert adaptive.looks == 1

    with_cluster(test)


# --- data ---

DATA = Graph({}, large=frozenset({"d-1", "d-3"}))
KEYS = [f"d-{number}" for number in range(5)]


class SimulatedEngine(Engine):
    """A scheduler and workers that are simulated; commands take effect message by message."""

    def __init__(self) -> None:
        self.sim = SimulatedCluster(DATA)

    @property
    def address(self) -> Address:
        return "fake://"

    @property
    def status(self) -> Status:
        return Status.RUNNING

    @property
    def view(self) -> ClusterView:
        workers = [
            WorkerView(name=w.name, address=w.address, status=w.status, stored=w.stored, processing=len(w.processing))
            for w in self.sim.core.state.workers.values()
        ]
        kept = TaskCounts(memory=len(self.held()))
        return ClusterView(id="c1", name="ada", status=Status.RUNNING, workers=workers, tasks=kept, capacity=5)

    async def start(self) -> None:
        """It runs."""

    async def call(self, command: AnyCommand) -> AnyAnswer:
        if isinstance(command, Scale):
            free = [name for name in range(12) if name not in self.sim.workers]
            there = sum(worker.status != Status.RETIRING for worker in self.view.workers)
            for name in free[: max(0, command.n - there)]:
                self.sim.worker_joins(name)
        elif isinstance(command, WhoMayGo):
            return Workers(names=command.names)
        elif isinstance(command, StopWorkers):
            for leaving in command.names:
                self.sim.worker_retires(leaving)
        return View(cluster=self.view)

    def subscribe(self, on_view: OnView, interval: float = 1.0) -> Callable[[], None]:
        return lambda: None

    async def close(self, timeout: float = 10.0) -> None:
        """It has nothing."""

    def stop_the_retired(self) -> None:
        """What the supervisor does once nothing would be lost."""
        for worker in list(self.sim.workers.values()):
            if worker.address in self.sim.retired:
                self.sim.worker_dies(worker.name, blame=False, last_words=True)

    def held(self) -> set[str]:
        return {key for worker in self.sim.workers.values() for key in worker.store}


class AsToldOrNot(AsTold):
    """Wants what it would want by itself when it is told to want nothing."""

    async def target(self) -> int:
        return self.wanted or await Adaptive.target(self)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_the_only_copy_of_a_key_is_never_dropped(data: st.DataObject, wait_count: int) -> None:
    """Whatever is wanted, as long as it is a worker, and whatever has arrived where when the next look comes."""

    async def main() -> None:
        engine = SimulatedEngine()
        sim = engine.sim
        for name in range(4):
            sim.worker_joins(name)
        client = sim.client_joins()
        client.want(KEYS, Scatter([DATA.datum(key) for key in KEYS]))
        sim.settle()
        assert engine.held() == set(KEYS)
        async with Cluster(engine, "ada", asynchronous=True) as cluster:
            minimum = data.draw(st.integers(0, 1))
            adaptive = await AsToldOrNot(cluster, interval=NEVER, minimum=minimum, wait_count=wait_count)
            for wanted in data.draw(st.lists(st.integers(0, 5), max_size=12)):
                adaptive.wanted = wanted
                await adaptive.adapt()
                for _ in range(data.draw(st.integers(0, 6))):
                    if steps := sim.steps():
                        sim.take(data.draw(st.sampled_from(steps)), count=data.draw(st.integers(1, 3)))
                    assert engine.held() == set(KEYS)
                if data.draw(st.booleans()):
                    engine.stop_the_retired()
                assert engine.held() == set(KEYS)
            sim.settle()
            assert engine.held() == set(KEYS)

    asyncio.run(main())
