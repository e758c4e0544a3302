"""``Adaptive`` and ``cluster.adapt()``: limits, policies of one's own, and what was decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, inc
from tests.support.eventually import eventually

Keywords = Callable[..., dict[str, Any]]


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
