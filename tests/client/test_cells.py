"""An interrupted cell's tasks are cancelled: a fake kernel, real clients."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from nbcluster import Client, FutureCancelledError, LocalCluster, as_completed, wait
from nbcluster.client import cells
from nbcluster.client.cells import Cells, cells_of, told_of_interrupt
from tests.support.eventually import eventually


class FakeKernel:
    """Runs cells: each is a request of its own. IPython's shell and kernel in one."""

    def __init__(self) -> None:
        self.kernel = self
        self.events = self
        self._hooks: dict[str, list[Callable[..., None]]] = {}
        self._requests = 0
        self.begin()

    def register(self, event: str, hook: Callable[..., None]) -> None:
        self._hooks.setdefault(event, []).append(hook)

    def get_parent(self, channel: str) -> dict[str, Any]:
        assert channel == "shell"
        return {"header": {"msg_id": f"request-{self._requests}"}}

    def begin(self) -> None:
        self._requests += 1
        for hook in self._hooks.get("pre_run_cell", ()):
            hook(SimpleNamespace())

    def end(self) -> None:
        for hook in self._hooks.get("post_run_cell", ()):
            hook(SimpleNamespace())


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    fake = FakeKernel()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: fake))
    monkeypatch.setattr(cells, "_of_kernel", None)
    monkeypatch.setenv("NBCLUSTER_SERVER", "off")
    return fake


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        yield cluster


class Gate:
    """Tasks that hang until the test is over."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def hang(self, _number: int = 0) -> None:
        self._opened.wait(60)

    def open(self) -> None:
        self._opened.set()

    def __reduce__(self) -> str:
        return "gate"


gate = Gate()


@pytest.fixture(autouse=True)
def gates() -> Iterator[None]:
    gate._opened.clear()
    yield
    gate.open()


def hang(_number: int = 0) -> None:
    gate.hang()


def interrupt_soon() -> None:
    """Once this thread waits."""
    main = threading.main_thread().ident
    assert main is not None

    def send() -> None:
        eventually(lambda: sys._current_frames()[main].f_code.co_name == "wait_for_latch")
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=send).start()


WAITS: dict[str, Callable[[Client, list[Any]], object]] = {
    "result": lambda client, futures: futures[0].result(),
    "result within": lambda client, futures: futures[0].result(timeout=50),
    "exception": lambda client, futures: futures[0].exception(),
    "gather": lambda client, futures: client.gather(futures),
    "wait": lambda client, futures: wait(futures),
    "as_completed": lambda client, futures: list(as_completed(futures)),
    "scatter": lambda client, futures: client.scatter(1, workers=["nobody"]),
}


@pytest.mark.parametrize("kind", WAITS)
def test_interrupting_a_cell_that_waits_cancels_what_it_submitted(
    kernel: FakeKernel, cluster: LocalCluster, kind: str
) -> None:
    with Client(cluster) as client:
        earlier = client.submit(hang, -1)
        kernel.end()
        kernel.begin()
        done = client.submit(abs, -1)
        done.result()
        futures = [client.submit(hang, 0), *client.map(hang, range(1, 4))]
        interrupt_soon()
        with pytest.raises(KeyboardInterrupt):
            WAITS[kind](client, futures)
        with pytest.raises(FutureCancelledError, match="The cell that submitted it was interrupted") as caught:
            futures[0].result(timeout=10)
        assert caught.value.reason == "interrupted"
        assert [future.exception(timeout=10) is not None for future in futures] == [True] * 4
        assert done.result() == 1, "it had finished"
        assert earlier.status == "pending", "another cell submitted it"


@pytest.mark.parametrize(("kernel_is_there", "choice"), [(True, False), (False, None)])
def test_nothing_is_cancelled_where_it_is_turned_off_and_in_scripts(
    request: pytest.FixtureRequest, cluster: LocalCluster, kernel_is_there: bool, choice: bool | None
) -> None:
    if kernel_is_there:
        request.getfixturevalue("kernel")
    with Client(cluster, cancel_on_interrupt=choice) as client:
        future = client.submit(hang)
        interrupt_soon()
        with pytest.raises(KeyboardInterrupt):
            future.result()
        assert future.status == "pending"
        gate.open()
        assert future.result(timeout=10) is None


def test_in_a_script_it_can_be_asked_for_and_then_means_all_that_is_pending(cluster: LocalCluster) -> None:
    with Client(cluster, cancel_on_interrupt=True) as client:
        futures = client.map(hang, range(3))
        interrupt_soon()
        with pytest.raises(KeyboardInterrupt):
            futures[2].result()
        for future in futures:
            with pytest.raises(FutureCancelledError, match="interrupted"):
                future.result(timeout=10)


def test_anything_but_a_truth_value_is_refused() -> None:
    with pytest.raises(TypeError, match="cancel_on_interrupt='yes' is neither True, False nor None"):
        cells_of("yes")  # type: ignore[arg-type]


def test_what_is_submitted_again_afterwards_runs(kernel: FakeKernel, cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        future = client.submit(hang, 7)
        interrupt_soon()
        with pytest.raises(KeyboardInterrupt):
            future.result()
        again = client.submit(hang, 7)
        gate.open()
        assert again.result(timeout=10) is None


class Recorder:
    """A client, as far as cells need one."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def _cancel_cell(self, cell: str, reason: str, msg: str) -> None:
        self.cancelled.append(cell)


@pytest.fixture
def told(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(cells, "GRACE", 0.0)
    recorder = Recorder()
    found = cells_of(None)
    assert found is not None
    found.watch(recorder)  # type: ignore[arg-type]
    return recorder


def on_a_loop(*calls: Callable[[], object]) -> None:
    async def main() -> None:
        for call in calls:
            call()
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_cell_that_an_interrupt_does_not_reach_is_cancelled_when_the_server_tells(told: Recorder) -> None:
    on_a_loop(told_of_interrupt)
    assert told.cancelled == ["request-1"]


def test_two_clusters_that_tell_of_one_interrupt_cancel_once(told: Recorder) -> None:
    on_a_loop(told_of_interrupt, told_of_interrupt)
    assert told.cancelled == ["request-1"]


def test_an_interrupt_that_the_cell_has_noticed_is_not_handled_again(told: Recorder) -> None:
    found = cells_of(None)
    assert found is not None
    on_a_loop(told_of_interrupt, found.interrupted)
    assert told.cancelled == ["request-1"]


def test_a_cell_that_has_ended_meanwhile_and_the_next_one_are_left_alone(told: Recorder, kernel: FakeKernel) -> None:
    on_a_loop(told_of_interrupt, kernel.end)
    on_a_loop(told_of_interrupt)
    kernel.begin()
    on_a_loop(told_of_interrupt, kernel.end, kernel.begin)
    assert told.cancelled == []


def test_a_cell_in_c_code_is_cancelled_from_the_loop(kernel: FakeKernel, cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        future = client.submit(hang)
        client._call_on_loop(told_of_interrupt)
        eventually(lambda: future.status == "cancelled")
        assert "interrupted" in str(future.exception())


def test_outside_of_kernels_nothing_is_looked_at() -> None:
    assert cells_of(None) is None
    assert type(cells_of(True)) is Cells
    told_of_interrupt()
