"""Which task runs first: ``priority=``, and the order of submission. One thread, so there is one order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate
from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def single(api: Any, keywords: Callable[..., dict[str, Any]]) -> Iterator[Any]:
    """A client of one thread."""
    with api.Client(**keywords(n_workers=1)) as client:
        yield client


class Record:
    """The order in which tasks ran: a file, so it works for other processes too."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        path.touch()

    def key(self, name: str) -> str:
        return f"{name} {self.path}"

    def note(self, name: str, *after: Any) -> None:
        """Run in a task."""
        with open(self.path, "a") as file:
            file.write(f"{name}\n")

    @property
    def names(self) -> list[str]:
        return Path(self.path).read_text().split()


class Busy:
    """The only thread is held by a task at a gate: so what is submitted meanwhile runs in its own order."""

    def __init__(self, client: Any, gate: Gate, record: Record) -> None:
        self.client = client
        self._gate = gate
        self._record = record
        self._futures: list[Any] = []

    def submit(self, name: str, **options: Any) -> None:
        key = self._record.key(name)
        self._add(self.client.submit(self._record.note, name, key=key, **options))

    def map(self, names: list[str], **options: Any) -> None:
        keys = [self._record.key(name) for name in names]
        self._add(*self.client.map(self._record.note, names, key=keys, **options))

    def compute(self, *names: str, annotations: dict[str, Any] | None = None, **options: Any) -> None:
        """A graph: a chain of these."""
        dask = pytest.importorskip("dask")
        chain: list[Any] = []
        with dask.annotate(**annotations or {}):
            for name in names:
                call = dask.delayed(self._record.note)
                chain.append(call(name, *chain[-1:], dask_key_name=self._record.key(name)))
        self._add(self.client.compute(chain[-1], optimize_graph=False, **options))

    def _add(self, *futures: Any) -> None:
        """They come to the scheduler before others are submitted."""
        self._futures += futures
        wanted = {future.key for future in futures}
        eventually(lambda: wanted <= set(self.client.run_on_scheduler(_keys)), "the scheduler knows the tasks")

    def order(self) -> list[str]:
        """Open the gate, once all have arrived where they wait for the thread; the names in the order of running."""
        wanted = {future.key for future in self._futures}
        eventually(lambda: all(wanted <= set(keys) for keys in self.client.run(_keys_sent_ahead, wanted).values()))
        self._gate.open()
        self.client.gather(self._futures)
        return self._record.names


def _keys(dask_scheduler: Any) -> list[str]:
    return list(dask_scheduler.tasks)


def _keys_sent_ahead(wanted: set[str], dask_worker: Any) -> list[str]:
    """The peer sends all tasks to its workers, where they wait; here they wait in the scheduler."""
    return list(dask_worker.state.tasks) if hasattr(dask_worker, "state") else list(wanted)


@pytest.fixture
def busy(single: Any, gate: Gate, tmp_path: Path) -> Iterator[Busy]:
    future = single.submit(at_gate, gate, pure=False)
    gate.wait_for_visitors()
    yield Busy(single, gate, Record(tmp_path / "order"))
    gate.open()
    future.result()


def test_the_higher_priority_runs_first(busy: Busy) -> None:
    busy.submit("low", priority=-5)
    busy.submit("usual")
    busy.submit("high", priority=10)
    busy.submit("higher", priority=11)
    assert busy.order() == ["higher", "high", "usual", "low"]


def test_it_is_that_of_all_tasks_of_a_map(busy: Busy) -> None:
    busy.submit("alone")
    busy.map(["a", "b"], priority=1)
    assert busy.order() == ["a", "b", "alone"]


def test_it_is_that_of_a_graph_unless_an_annotation_says_otherwise(busy: Busy) -> None:
    busy.submit("alone")
    busy.compute("graph", priority=5)
    busy.compute("annotated", annotations={"priority": 10})
    assert busy.order() == ["annotated", "graph", "alone"]


@pytest.mark.parametrize("fifo_timeout", [0, "0 ms"])
def test_tasks_of_one_priority_run_in_the_order_of_submission(busy: Busy, fifo_timeout: Any) -> None:
    names = ["one", "two", "three", "four", "five"]
    for name in names:
        busy.submit(name, fifo_timeout=fifo_timeout)
    assert busy.order() == names


def test_so_do_maps_and_graphs(busy: Busy) -> None:
    busy.map(["a", "b"], fifo_timeout=0)
    busy.compute("graph", fifo_timeout=0)
    busy.submit("alone", fifo_timeout=0)
    assert busy.order() == ["a", "b", "graph", "alone"]


@pytest.mark.differs("first in, first out")
def test_so_do_they_whatever_the_timeout(busy: Busy) -> None:
    busy.map(["a", "b"], fifo_timeout="1 h")
    busy.map(["c", "d"], fifo_timeout="1 h")
    assert busy.order() == ["a", "b", "c", "d"]
