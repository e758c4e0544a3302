"""``fire_and_forget``; ``print`` and ``Reschedule`` in tasks; clusters in tasks."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.contracts.gates import Gate, Tally
from tests.support.eventually import eventually


def count_after(gate: Gate, tally: Tally) -> None:
    gate.pass_through()
    tally.add()


def test_a_task_whose_future_is_gone_finishes_all_the_same(api: Any, client: Any, gate: Gate, tmp_path: Any) -> None:
    tally = Tally(tmp_path / "tally")
    api.fire_and_forget(client.map(count_after, [gate] * 3, [tally] * 3, pure=False))
    gate.open()
    eventually(lambda: tally.count == 3, "three tasks that nobody waits for")


def test_so_it_is_when_the_client_is_gone(api: Any, cluster: Any, client: Any, gate: Gate, tmp_path: Any) -> None:
    tally = Tally(tmp_path / "tally")
    with api.Client(cluster, set_as_default=False) as other:
        api.fire_and_forget(other.submit(count_after, gate, tally, pure=False))
        gate.wait_for_visitors()
    gate.open()
    eventually(lambda: tally.count == 1, "a task of a client that is gone")


def test_what_fails_meanwhile_keeps_nobody(api: Any, client: Any) -> None:
    api.fire_and_forget(client.submit(lambda: 1 / 0, pure=False))
    assert client.submit(abs, -1, pure=False).result() == 1


def test_a_task_prints_as_python_does(api: Any, client: Any, capfd: pytest.CaptureFixture[str]) -> None:
    def speak() -> None:
        api.print("one", "two", sep="-", end="!\n")
        api.print("aside", file=sys.stderr, flush=True)

    out = err = ""

    def printed() -> bool:
        nonlocal out, err
        client.submit(speak, pure=False).result()  # again: the peer prints here as well, and mixes up the two
        more = capfd.readouterr()
        out, err = out + more.out, err + more.err
        return "one-two!\n" in out and "aside\n" in err

    eventually(printed, "what the task prints")


def test_a_task_prints_to_nothing_else(api: Any, client: Any) -> None:
    with pytest.raises(TypeError, match="file"):
        client.submit(lambda: api.print("x", file=5)).result()


def test_a_task_that_is_to_be_rescheduled_runs_again(api: Any, client: Any, tmp_path: Any) -> None:
    tally = Tally(tmp_path / "tally")

    def at_the_third_time() -> str:
        if tally.add() < 2:
            raise api.Reschedule
        return "done"

    assert client.submit(at_the_third_time).result() == "done"
    assert tally.count == 3


def nest(api: Any, keywords: dict[str, Any], levels: int) -> int:
    if levels == 0:
        return 0
    with api.LocalCluster(**keywords) as cluster, api.Client(cluster, set_as_default=False) as client:
        return 1 + int(client.submit(nest, api, keywords, levels - 1).result())


@pytest.mark.differs("nested clusters")
def test_a_task_may_start_a_cluster_but_not_without_end(api: Any, keywords: Any) -> None:
    assert nest(api, keywords(n_workers=1), 3) == 3
    with pytest.raises(RuntimeError, match="nested at most 10 deep"):
        nest(api, keywords(n_workers=1), 12)


@pytest.mark.differs("nested clusters")
def test_so_it_is_with_processes(api: Any, keywords: Any) -> None:
    assert nest(api, keywords(n_workers=1, processes=True), 2) == 2
