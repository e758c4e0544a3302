"""What the options of ``submit`` and ``map`` do to tasks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.gates import Gate, Tally, at_gate


def test_a_task_is_retried_so_often(client: Any, tmp_path: Any) -> None:
    tally = Tally(tmp_path / "tally")

    def third_time_lucky() -> str:
        if tally.add() < 2:
            raise OSError("try again")
        return "done"

    with pytest.raises(OSError, match="try again"):
        client.submit(third_time_lucky, retries=1, pure=False).result()
    assert client.submit(third_time_lucky, retries=1, pure=False).result() == "done"


def test_a_task_runs_where_it_is_told_to(api: Any, client: Any) -> None:
    names = client.map(lambda _: str(api.get_worker().name), range(4), workers=[1], pure=False)
    assert client.gather(names) == ["1"] * 4


def test_or_elsewhere_if_that_is_allowed(client: Any) -> None:
    nowhere = "tcp://127.0.0.1:1"
    assert client.submit(abs, -1, workers=[nowhere], allow_other_workers=True, pure=False).result() == 1


def test_tasks_share_a_resource(client: Any, gate: Gate) -> None:
    one = client.submit(at_gate, gate, resources={"GPU": 1}, workers=[0], pure=False)
    two = client.submit(at_gate, gate, resources={"GPU": 1}, workers=[1], pure=False)
    gate.wait_for_visitors(2)
    three = client.submit(at_gate, gate, resources={"GPU": 1}, pure=False)
    assert not three.done()
    gate.open()
    client.gather([one, two, three])


def test_annotations_count_where_the_call_says_nothing(api: Any, client: Any) -> None:
    dask = pytest.importorskip("dask")

    def where(_: int) -> str:
        return str(api.get_worker().address)

    one, other = sorted(client.scheduler_info()["workers"])
    with dask.annotate(workers=[one]):
        submitted = client.submit(where, -1, pure=False)
        mapped = client.map(where, range(4), pure=False)
        computed = client.compute([dask.delayed(where, pure=False)(number) for number in range(4)])
        elsewhere = client.submit(where, -1, workers=[other], pure=False)
    anywhere = client.submit(where, -1, workers=None, pure=False)
    assert set(client.gather([submitted, *mapped, *computed])) == {one}
    assert elsewhere.result() == other
    assert anywhere.result() in {one, other}


def test_a_collection_that_was_annotated_goes_by_its_own(api: Any, client: Any) -> None:
    dask = pytest.importorskip("dask")

    def where() -> str:
        return str(api.get_worker().address)

    one, other = sorted(client.scheduler_info()["workers"])
    with dask.annotate(workers=[one]):
        annotated = [dask.delayed(where, pure=False)() for _ in range(4)]
    with dask.annotate(workers=[other]):
        futures = client.compute(annotated, optimize_graph=False)
    assert set(client.gather(futures)) == {one}
