"""``Adaptive`` and ``cluster.adapt()``: limits, policies of one's own, and what was decided."""

from __future__ import annotations

import asyncio
import logging
import sys
import types
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, inc
from tests.support.eventually import eventually, soon


def _here(cluster: Any) -> int:
    return len(cluster.scheduler_info["workers"])


def test_a_target_of_ones_own_decides(api: Any, own: Any) -> None:
    wanted = [3]

    class Mine(api.Adaptive):  # type: ignore[misc]
        async def target(self) -> int:
            return wanted[0]

    cluster = own()
    adaptive = cluster.adapt(Adaptive=Mine, minimum=0, maximum=5, interval="20ms", wait_count=2)
    assert isinstance(adaptive, Mine)
    eventually(lambda: _here(cluster) == 3, "three workers")
    wanted[0] = 9
    eventually(lambda: _here(cluster) == 5, "the maximum")
    wanted[0] = 1
    eventually(lambda: _here(cluster) == 1, "one worker")
    statuses = [entry["status"] for _, entry in adaptive.log]
    assert statuses[:2] == ["up", "up"]
    assert set(statuses[2:]) == {"down"}


def test_a_choice_of_ones_own_says_which_workers_go(api: Any, own: Any) -> None:
    class OldestFirst(api.Adaptive):  # type: ignore[misc]
        async def target(self) -> int:
            return 1

        async def workers_to_close(self, target: int) -> list[Any]:
            return sorted(self.plan)[: len(self.plan) - target]

    cluster = own(n_workers=3)
    cluster.adapt(Adaptive=OldestFirst, interval="20ms", wait_count=1)
    eventually(lambda: _here(cluster) == 1)
    assert cluster.plan == {2}


def test_stopping_keeps_the_workers(own: Any) -> None:
    cluster = own(n_workers=0)
    adaptive = cluster.adapt(minimum=2, maximum=3, interval="20ms")
    eventually(lambda: _here(cluster) == 2)
    assert (adaptive.minimum, adaptive.maximum) == (2, 3)
    eventually(lambda: adaptive.state == "running")
    adaptive.stop()
    assert adaptive.state == "stopped"
    adaptive.stop()
    assert _here(cluster) == 2


def test_limits_by_cores_and_memory(own: Any) -> None:
    cluster = own(threads_per_worker=2, memory_limit="1GiB")
    adaptive = cluster.adapt(minimum_cores=3, maximum_cores=9, interval="1h")
    assert (adaptive.minimum, adaptive.maximum) == (2, 4)
    adaptive = cluster.adapt(minimum_memory="1.5 GiB", maximum_memory="3.5 GiB", interval="1h")
    assert (adaptive.minimum, adaptive.maximum) == (2, 3)


@pytest.mark.differs("adaptive log")
def test_decisions_are_in_the_log_with_their_reasons(api: Any, own: Any, gate: Gate) -> None:
    cluster = own()
    adaptive = cluster.adapt(minimum=1, maximum=3, interval="20ms", wait_count=2)
    with api.Client(cluster, set_as_default=False) as client:
        futures = client.map(at_gate, [gate] * 6, range(6))
        eventually(lambda: _here(cluster) == 3)
        gate.open()
        client.gather(futures)
        eventually(lambda: _here(cluster) == 1)
    eventually(lambda: any(entry["target"] == 3 for _, entry in adaptive.log))
    assert all(entry["reason"] for _, entry in adaptive.log)


@pytest.mark.differs("scale ends adapting")
@pytest.mark.parametrize("how", ["scale", "scale_down", "adapt"])
def test_whoever_says_how_many_workers_next_ends_adapting(api: Any, own: Any, how: str) -> None:
    class Mine(api.Adaptive):  # type: ignore[misc]
        async def target(self) -> int:
            return 2

    cluster = own()
    adaptive = cluster.adapt(Adaptive=Mine, interval="20ms")
    eventually(lambda: _here(cluster) == 2)
    if how == "scale":
        cluster.scale(1)
    elif how == "scale_down":
        cluster.scale_down([0])
    else:
        cluster.adapt(maximum=1, interval="20ms", minimum=1, wait_count=1)
    assert adaptive.state == "stopped"
    eventually(lambda: _here(cluster) == 1)


@pytest.mark.differs("scaling keeps data")
def test_the_only_copy_is_never_dropped(api: Any, own: Any) -> None:
    class Fewer(api.Adaptive):  # type: ignore[misc]
        async def target(self) -> int:
            return 1

    cluster = own(n_workers=3)
    with api.Client(cluster, set_as_default=False) as client:
        futures = client.map(inc, range(12))
        data = client.scatter(list(range(100, 112)))
        api.wait(futures)
        cluster.adapt(Adaptive=Fewer, interval="20ms", wait_count=1)
        eventually(lambda: _here(cluster) == 1)
        assert client.gather(futures) == list(range(1, 13))
        assert client.gather(data) == list(range(100, 112))


# --- as an object ---


def test_an_adaptive_of_ones_own_begins_by_itself(api: Any, own: Any) -> None:
    cluster = own(n_workers=0)
    adaptive = api.Adaptive(
        cluster, interval="20ms", minimum=2, maximum=3, wait_count=2, target_duration="1s", worker_key=None
    )
    assert adaptive.cluster is cluster
    eventually(lambda: adaptive.observed == adaptive.requested == {0, 1}, "the minimum")
    eventually(lambda: adaptive.state == "running")
    assert adaptive.plan == {0, 1}
    assert (adaptive.interval, adaptive.target_duration) == (0.02, 1)
    assert (adaptive.minimum, adaptive.maximum, adaptive.wait_count) == (2, 3, 2)


def test_stopping_tells_the_reason(api: Any, own: Any) -> None:
    heard: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = sys.modules[api.Adaptive.__module__].logger  # both packages have one there
    logger.addHandler(listener)
    try:
        adaptive = own().adapt(minimum=1, maximum=2, interval="20ms")
        eventually(lambda: adaptive.state == "running")
        adaptive.stop(reason="lunch")
    finally:
        logger.removeHandler(listener)
    assert adaptive.state == "stopped"
    assert any("lunch" in text for text in heard)


Test = Callable[[Any, Any], Coroutine[Any, Any, None]]


@pytest.fixture
def with_adaptive(api: Any, keywords: Any) -> Callable[..., None]:
    """Runs a test with a cluster of two workers and an ``Adaptive`` that looks only when it is told to."""

    def run(test: Test, **options: Any) -> None:
        async def main() -> None:
            async with api.LocalCluster(asynchronous=True, **keywords(n_workers=2)) as cluster:
                adaptive = api.Adaptive(cluster, interval="1 h", **options)
                await test(cluster, adaptive)
                adaptive.stop()

        asyncio.run(asyncio.wait_for(main(), 30))

    return run


async def _soon_here(cluster: Any, n: int) -> None:
    await soon(lambda: len(cluster.scheduler_info["workers"]) == len(cluster.observed) == n, f"{n} workers")


def test_what_is_recommended(with_adaptive: Any) -> None:
    async def test(cluster: Any, adaptive: Any) -> None:
        await _soon_here(cluster, 2)
        assert await adaptive.recommendations(target=3) == {"status": "up", "n": 3}
        assert await adaptive.recommendations(target=2) == {"status": "same"}
        assert await adaptive.recommendations(target=1) == {"status": "same"}, "once is not enough"
        down = await adaptive.recommendations(target=1)
        assert down["status"] == "down"
        assert set(down["workers"]) < {0, 1}

    with_adaptive(test, wait_count=2)


def test_a_look_that_says_otherwise_begins_the_count_anew(with_adaptive: Any) -> None:
    async def test(cluster: Any, adaptive: Any) -> None:
        await _soon_here(cluster, 2)
        for target in (1, 2, 1, 3, 1):
            assert (await adaptive.recommendations(target))["status"] != "down"
        assert (await adaptive.recommendations(1))["status"] == "down"

    with_adaptive(test, wait_count=2)


def test_workers_to_close_leave_as_many_as_are_wanted(with_adaptive: Any) -> None:
    async def test(cluster: Any, adaptive: Any) -> None:
        await _soon_here(cluster, 2)
        assert set(await adaptive.workers_to_close(target=0)) == {0, 1}
        assert len(await adaptive.workers_to_close(target=1)) == 1
        assert list(await adaptive.workers_to_close(target=2)) == []
        assert list(await adaptive.workers_to_close(target=5)) == []

    with_adaptive(test)


def test_workers_of_a_group_go_together_or_not_at_all(with_adaptive: Any) -> None:
    async def test(cluster: Any, adaptive: Any) -> None:
        await cluster.scale(4)
        await _soon_here(cluster, 4)
        assert list(await adaptive.workers_to_close(target=3)) == []
        assert set(await adaptive.workers_to_close(target=2)) in ({0, 2}, {1, 3})
        assert set(await adaptive.workers_to_close(target=1)) in ({0, 2}, {1, 3})
        assert set(await adaptive.workers_to_close(target=0)) == {0, 1, 2, 3}

    with_adaptive(test, worker_key=lambda worker: worker.name % 2)


def test_scaling_by_an_adaptive(with_adaptive: Any) -> None:
    async def test(cluster: Any, adaptive: Any) -> None:
        await adaptive.scale_up(n=3)
        await _soon_here(cluster, 3)
        assert adaptive.plan == {0, 1, 2}
        await adaptive.scale_down(workers=[0, 2])
        await _soon_here(cluster, 1)
        assert adaptive.plan == {1}
        await adaptive.scale_down(workers=[])
        assert adaptive.plan == {1}

    with_adaptive(test)


def test_deciding_once_by_hand(api: Any, with_adaptive: Any, gate: Gate) -> None:
    async def test(cluster: Any, adaptive: Any) -> None:
        await adaptive.adapt()
        assert await adaptive.target() == 0
        await _soon_here(cluster, 1)
        async with api.Client(cluster, asynchronous=True, set_as_default=False) as client:
            futures = client.map(at_gate, [gate] * 4, range(4))
            await _until_wanted(adaptive, 3)
            await adaptive.adapt()
            await _soon_here(cluster, 3)
            gate.open()
            await client.gather(futures)

    with_adaptive(test, minimum=1, maximum=3, wait_count=1, target_duration="10ms")


async def _until_wanted(adaptive: Any, n: int) -> None:
    for _ in range(4000):
        if await adaptive.target() >= n:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{n} workers were never wanted")


# --- policies of one's own ---


def test_recommendations_of_ones_own_are_carried_out(api: Any, own: Any) -> None:
    wanted = [{"status": "up", "n": 3}]

    class Mine(api.Adaptive):  # type: ignore[misc]
        async def recommendations(self, target: int) -> dict[str, Any]:
            return wanted.pop() if wanted else {"status": "same"}

    cluster = own()
    adaptive = cluster.adapt(Adaptive=Mine, minimum=0, maximum=1, interval="20ms")
    eventually(lambda: _here(cluster) == 3, "three workers, whatever the target is")
    wanted.append({"status": "down", "workers": [0]})
    eventually(lambda: _here(cluster) == 2)
    assert cluster.plan == {1, 2}
    assert [entry["status"] for _, entry in adaptive.log] == ["up", "down"]


def test_a_target_may_go_by_what_the_peers_policy_says(api: Any, own: Any) -> None:
    class OneMore(api.Adaptive):  # type: ignore[misc]
        async def target(self) -> int:
            return int(await super().target()) + 1

    cluster = own(n_workers=0)
    cluster.adapt(Adaptive=OneMore, interval="20ms")
    eventually(lambda: _here(cluster) == 1, "one more than none")


def test_ones_own_way_of_scaling_up_is_taken(api: Any, own: Any) -> None:
    asked: list[int] = []

    class Twice(api.Adaptive):  # type: ignore[misc]
        async def target(self) -> int:
            return 1

        async def scale_up(self, n: int) -> None:
            asked.append(n)
            await super().scale_up(2 * n)

    cluster = own(n_workers=0)
    cluster.adapt(Adaptive=Twice, interval="20ms", wait_count=1000)
    eventually(lambda: _here(cluster) == 2)
    assert asked[0] == 1


def test_a_policy_that_fails_is_asked_again(api: Any, own: Any) -> None:
    failures = [ValueError("not now"), KeyError("nor now")]

    class Moody(api.Adaptive):  # type: ignore[misc]
        async def target(self) -> int:
            if failures:
                raise failures.pop()
            return 2

    cluster = own()
    cluster.adapt(Adaptive=Moody, interval="20ms")
    eventually(lambda: _here(cluster) == 2)


def test_plugins_of_the_scheduler_have_the_last_word_on_who_is_closed(api: Any, own: Any) -> None:
    looks: list[int] = []

    class OneOnly(api.Adaptive):  # type: ignore[misc]
        async def target(self) -> int:
            looks.append(1)
            return 1

    def choose(self: Any, scheduler: Any, workers: list[Any]) -> list[Any]:
        return [worker for worker in workers if worker.name == 1]

    members = {"valid_workers_downscaling": choose}
    plugin = types.new_class("Plugin", (api.SchedulerPlugin,), exec_body=lambda space: space.update(members))()
    cluster = own(n_workers=3)
    with api.Client(cluster, set_as_default=False) as client:
        client.register_plugin(plugin)
        cluster.adapt(Adaptive=OneOnly, interval="20ms", wait_count=1)
        eventually(lambda: cluster.plan == {0, 2}, "the one that may go has gone")
        so_far = len(looks)
        eventually(lambda: len(looks) > so_far + 3, "it was looked at again")
        assert cluster.plan == {0, 2}


# --- the cluster's own methods ---


@pytest.mark.differs("bad input")
def test_what_an_adaptive_cannot_work_with_is_refused(api: Any, own: Any) -> None:
    with pytest.raises(TypeError, match=r"cluster=.* is no cluster"):
        api.Adaptive(object())
    with pytest.raises(TypeError, match="worker_key='host' is not a function"):
        own().adapt(worker_key="host")
    with pytest.raises(TypeError, match=r"adapt\(\) got an unexpected .* 'minimun'; did you mean 'minimum'"):
        own().adapt(minimun=1)


@pytest.mark.differs("bad input")
def test_workers_that_are_not_there_cannot_be_scaled_down(own: Any) -> None:
    cluster = own()
    with pytest.raises(ValueError, match="names 7, which is not among"):
        cluster.scale_down([7])
    with pytest.raises(TypeError, match="list of names"):
        cluster.scale_down("0")
    assert cluster.plan == {0}


def test_how_workers_are_made(own: Any) -> None:
    cluster = own(n_workers=2, threads_per_worker=3, memory_limit="1GiB")
    spec = cluster.worker_spec
    assert sorted(spec) == [0, 1]
    assert spec[0]["cls"].__name__ == "Worker"
    assert (spec[0]["options"]["nthreads"], spec[0]["options"]["memory_limit"]) in ((3, 2**30), (3, "1GiB"))
    assert list(cluster.new_worker_spec()) == [2]


def test_a_cluster_shows_itself_as_html(own: Any) -> None:
    cluster = own(n_workers=0, name="ada")
    assert "ada" in cluster._repr_html_()
