"""Which task runs first: ``priority=``, and the order of submission. One thread, so there is one order."""

from __future__ import annotations

import functools
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
        self.gate = gate
        self._record = record
        self._futures: list[Any] = []

    def submit(self, name: str, **options: Any) -> None:
        key = self._record.key(name)
        self.add(self.client.submit(self._record.note, name, key=key, **options))

    def map(self, names: list[str], **options: Any) -> None:
        keys = [self._record.key(name) for name in names]
        self.add(*self.client.map(self._record.note, names, key=keys, **options))

    def compute(self, *names: str, annotations: dict[str, Any] | None = None, **options: Any) -> None:
        """A graph: a chain of these."""
        dask = pytest.importorskip("dask")
        chain: list[Any] = []
        with dask.annotate(**annotations or {}):
            for name in names:
                call = dask.delayed(self._record.note)
                chain.append(call(name, *chain[-1:], dask_key_name=self._record.key(name)))
        self.add(self.client.compute(chain[-1], optimize_graph=False, **options))

    def add(self, *futures: Any) -> None:
        """They come to the scheduler before others are submitted."""
        self._futures += futures
        wanted = {future.key for future in futures}
        eventually(lambda: wanted <= set(self.client.run_on_scheduler(_keys)), "the scheduler knows the tasks")

    def order(self) -> list[str]:
        """Open the gate, once all have arrived where they wait for the thread; the names in the order of running."""
        wanted = {future.key for future in self._futures}
        eventually(lambda: all(wanted <= set(keys) for keys in self.client.run(_keys_sent_ahead, wanted).values()))
        self.gate.open()
        self.client.gather(self._futures)
        return self._record.names


def _keys(dask_scheduler: Any) -> list[str]:
    return list(dask_scheduler.tasks)


def _ready_keys(dask_scheduler: Any) -> list[str]:
    """Those that wait for nothing but a thread, or have run."""
    return [key for key, task in dask_scheduler.tasks.items() if task.state not in ("released", "waiting")]


def _keys_sent_ahead(wanted: set[str], dask_worker: Any) -> list[str]:
    """The peer sends all tasks to its workers, where they wait; here they wait in the scheduler."""
    return list(dask_worker.state.tasks) if _is_peers(dask_worker) else list(wanted)


def _is_peers(dask_worker: Any) -> bool:
    return str(type(dask_worker).__module__).startswith("distributed.")


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


def test_it_may_be_any_number(busy: Busy) -> None:
    busy.submit("usual")
    busy.submit("more", priority=0.5)
    busy.map(["less"], priority=-0.25)
    busy.compute("graph", priority=0.75)
    assert busy.order() == ["graph", "more", "usual", "less"]


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


def note(record: Record, second: Gate, name: str, *after: Any) -> None:
    """Run in a task. The second one that comes has to wait: what the first has made way for is to come too."""
    if len(record.names) == 1:
        second.pass_through()
    record.note(name, *after)


class Chains:
    """Tasks that go on from others. Each test has letters of its own: how long such tasks take is not known then, and
    the worker is given no more of them than it has threads, and one."""

    def __init__(self, busy: Busy, second: Gate, record: Record) -> None:
        self._busy = busy
        self._client = busy.client
        self._record = record
        self._note = functools.partial(note, record, second)
        self._second = second

    def map(self, letter: str, *after: Any, **options: Any) -> list[Any]:
        """Three of them, each after one of the others."""
        names = [f"{letter}{number}" for number in range(3)]
        keys = [self._record.key(name) for name in names]
        futures = self._client.map(self._note, names, *after, key=keys, **options)
        self._busy.add(*futures)
        return list(futures)

    def compute(self, letter: str, after: list[Any]) -> list[Any]:
        """The same, as a graph of dask's."""
        calls = [self._delayed(f"{letter}{number}", one) for number, one in enumerate(after)]
        futures = self._client.compute(calls, optimize_graph=False)
        self._busy.add(*futures)
        return list(futures)

    def _delayed(self, name: str, *after: Any) -> Any:
        dask = pytest.importorskip("dask")
        return dask.delayed(self._note)(name, *after, dask_key_name=self._record.key(name))

    def roots(self, letter: str) -> list[Any]:
        """What graphs begin with."""
        return [self._delayed(f"{letter}{number}") for number in range(3)]

    def order(self, futures: list[Any], awaited: str) -> list[str]:
        """The names in the order of running; the second waits until a task is there whose name begins like that."""
        self._busy.gate.open()
        if awaited:
            eventually(lambda: any(key.startswith(awaited) for key in self._client.run_on_scheduler(_ready_keys)))
            eventually(lambda: all(self._client.run(_has_arrived, awaited).values()))
        self._second.open()
        self._client.gather(futures)
        return self._record.names


def _has_arrived(awaited: str, dask_worker: Any) -> bool:
    """The peer decides on its workers what comes next, so it has to be there; here the scheduler does."""
    return not _is_peers(dask_worker) or any(str(key).startswith(awaited) for key in dask_worker.state.tasks)


@pytest.fixture
def chains(busy: Busy, tmp_path: Path) -> Iterator[Chains]:
    (tmp_path / "second").mkdir()
    second = Gate(tmp_path / "second" / "gate")
    yield Chains(busy, second, Record(tmp_path / "order"))
    busy.gate.open()
    second.open()


def test_what_continues_tasks_soon_after_them_comes_before_what_came_after_those(chains: Chains) -> None:
    loaded = chains.map("a", fifo_timeout="1 h")
    cleaned = chains.map("b", loaded, fifo_timeout="1 h")
    order = chains.order(cleaned, "b")
    assert order.index("b0") < order.index("a2")


def test_what_continues_them_later_comes_later(chains: Chains) -> None:
    loaded = chains.map("d", fifo_timeout=0)
    cleaned = chains.map("e", loaded, fifo_timeout=0)
    assert chains.order(cleaned, "")[:3] == ["d0", "d1", "d2"]


def test_so_do_graphs_that_share_what_they_need(chains: Chains) -> None:
    loaded = chains.roots("g")
    order = chains.order([*chains.compute("h", loaded), *chains.compute("i", loaded)], "h")
    first = min(order.index(f"i{number}") for number in range(3))
    assert first < max(order.index(f"g{number}") for number in range(3))


def test_what_a_task_submits_comes_before_what_came_after_that(api: Any, busy: Busy, chains: Chains) -> None:
    run = chains._note

    def submits(name: str) -> None:
        run(name)
        api.secede()
        api.get_client().submit(run, f"sub-{name}", key=f"sub-{name}").result()

    futures = busy.client.map(submits, ["a", "b", "c", "d"], pure=False)
    order = chains.order(futures, "sub-")
    assert order.index("sub-a") < order.index("d")
