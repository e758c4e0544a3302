"""What a task finds of the cluster that runs it: a client, its worker, futures that came along."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from typing import Any

import pytest

from tests.contracts.by_hand import quiet, run
from tests.contracts.gates import Gate
from tests.support.eventually import eventually


def inc(x: int) -> int:
    return x + 1


class Box:
    """Not one of the containers in which futures are looked for."""

    def __init__(self, content: Any) -> None:
        self.content = content


def test_a_task_submits_tasks_by_the_client_of_its_worker(api: Any, client: Any) -> None:
    def total(n: int) -> int:
        here = api.get_client()
        return int(sum(here.gather(here.map(inc, range(n)))))

    assert client.submit(total, 4).result() == 10


def test_tasks_of_one_worker_share_a_client(api: Any, client: Any) -> None:
    def identity() -> str:
        return str(api.get_client().id)

    first, second = (client.submit(identity, pure=False, workers=[0]) for _ in range(2))
    assert first.result() == second.result()


@pytest.mark.differs("the worker's client")
def test_the_workers_client_does_not_become_the_default_of_the_process(api: Any, client: Any) -> None:
    def ids() -> tuple[str, str]:
        here = api.get_client()
        return str(here.id), str(api.default_client().id)

    used, default = client.submit(ids).result()
    assert used == default != client.id
    assert api.default_client() is client
    assert api.Client.current() is client


def test_a_timeout_and_an_address_may_be_given(api: Any, client: Any) -> None:
    address = client.scheduler_info()["address"]

    def same() -> bool:
        here = api.get_client()
        return api.get_client(timeout=5) is here and api.get_client(address=address) is here

    assert client.submit(same).result()


def test_outside_tasks_it_is_the_current_client(api: Any, client: Any) -> None:
    assert api.get_client() is client


@pytest.mark.differs("pickled futures")
def test_a_future_in_a_closure_is_a_future_of_the_task(api: Any, client: Any) -> None:
    future = client.submit(inc, 10)
    assert client.submit(lambda: future.result() + 1).result() == 12


@pytest.mark.differs("pickled futures")
def test_so_is_one_inside_an_object(api: Any, client: Any) -> None:
    box = Box(client.submit(inc, 20))
    assert client.submit(lambda box: box.content.result() + 1, box).result() == 22


def test_a_task_may_return_futures_of_its_own(api: Any, client: Any) -> None:
    def start() -> Any:
        return api.get_client().submit(inc, 30)

    outer = client.submit(start)  # as long as it lives, so do the futures in its result
    assert outer.result().result() == 31


def test_what_a_subtask_raises_is_raised_in_the_task(api: Any, client: Any) -> None:
    def divide() -> str:
        try:
            api.get_client().submit(lambda: 1 / 0).result()
        except ZeroDivisionError as error:
            return str(error)
        return "nothing was raised"

    assert client.submit(divide).result() == "division by zero"


def test_wait_and_as_completed_work_in_tasks(api: Any, client: Any) -> None:
    def both() -> tuple[int, list[int]]:
        futures = api.get_client().map(inc, range(3))
        done = api.wait(futures).done
        return len(done), sorted(future.result() for future in api.as_completed(futures))

    assert client.submit(both).result() == (3, [1, 2, 3])


def test_a_coroutine_that_runs_beside_tasks_has_a_client(api: Any, client: Any) -> None:
    async def ask() -> Any:
        its_client = await api.get_client()
        return await its_client.submit(inc, 10, pure=False)

    assert list(client.run(ask).values()) == [11, 11]


@pytest.mark.differs("the worker's client")
def test_a_coroutine_that_runs_beside_tasks_has_a_client_where_all_share_one_loop(api: Any) -> None:
    async def ask() -> Any:
        its_client = await api.get_client()
        return await its_client.submit(inc, 10)

    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Worker(scheduler.address, nthreads=1),
            api.Client(scheduler.address, asynchronous=True) as own_client,
        ):
            assert list((await own_client.run(ask)).values()) == [11]

    run(main)


def test_a_coroutine_awaits_what_its_client_returns(api: Any, client: Any) -> None:
    async def total(n: int) -> int:
        here = api.get_client()
        results = await here.gather(here.map(inc, range(n)))
        return int(await here.submit(sum, results))

    assert client.submit(total, 4).result() == 10


def test_and_iterates_over_futures_as_they_complete(api: Any, client: Any) -> None:
    async def collect() -> list[int]:
        futures = api.get_client().map(inc, range(3))
        return sorted([await future async for future in api.as_completed(futures)])

    assert client.submit(collect).result() == [1, 2, 3]


def test_coroutines_of_one_worker_share_an_event_loop(api: Any, client: Any) -> None:
    async def loop() -> int:
        return id(asyncio.get_running_loop())

    first, second = (client.submit(loop, pure=False, workers=[0]) for _ in range(2))
    assert first.result() == second.result()


def test_a_coroutine_that_exits_errs_and_the_worker_lives(api: Any, client: Any) -> None:
    async def fail() -> None:
        raise ValueError("from a coroutine")

    with pytest.raises(ValueError, match="from a coroutine"):
        client.submit(fail).result()
    assert client.submit(inc, 1).result() == 2


def test_a_task_knows_its_worker(api: Any, client: Any) -> None:
    def describe() -> tuple[Any, str, int]:
        worker = api.get_worker()
        return str(worker.name), worker.address, api.get_worker() is worker

    name, address, same = client.submit(describe, workers=[1]).result()
    assert name == "1"
    assert address in client.scheduler_info()["workers"]
    assert same


def test_a_coroutine_knows_it_too(api: Any, client: Any) -> None:
    async def name() -> str:
        return str(api.get_worker().name)

    assert client.submit(name, workers=[1]).result() == "1"


def test_a_task_keeps_things_in_its_worker(api: Any, client: Any) -> None:
    def count() -> int:
        worker = api.get_worker()
        worker.counter = getattr(worker, "counter", 0) + 1
        return int(worker.counter)

    assert [client.submit(count, pure=False, workers=[0]).result() for _ in range(2)] == [1, 2]


def test_a_worker_shows_its_results(api: Any, client: Any) -> None:
    future = client.submit(inc, 50, workers=[0])
    future.result()

    def look(key: str) -> Any:
        data = api.get_worker().data
        return key in data, data[key]

    assert client.submit(look, future.key, workers=[0]).result() == (True, 51)


@pytest.mark.differs("the worker's client")
def test_outside_tasks_there_is_no_worker(api: Any, client: Any) -> None:
    with pytest.raises(ValueError, match="No worker found"):
        api.get_worker()


def test_what_a_task_waits_for_may_be_cancelled(api: Any, client: Any, gate: Gate) -> None:
    def outer() -> str:
        inner = api.get_client().submit(gate.pass_through, pure=False)
        gate.wait_for_visitors()
        inner.cancel()
        try:
            inner.result()
        except api.CancelledError:
            return "cancelled"
        return "not cancelled"

    assert client.submit(outer).result() == "cancelled"


def test_a_task_warns(api: Any, client: Any) -> None:
    def careful() -> str:
        api.warn("close to the limit", RuntimeWarning)
        return "done"

    assert client.submit(careful).result() == "done"


@pytest.mark.differs("the worker's client")
def test_what_a_task_warns_of_is_shown_where_it_was_submitted(
    api: Any, client: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    client.submit(api.warn, "close to the limit", RuntimeWarning, pure=False).result()
    eventually(lambda: "RuntimeWarning: close to the limit" in capfd.readouterr().err, "the warning")
    with pytest.warns(UserWarning, match="outside"):
        api.warn("outside of tasks")
    with pytest.raises(TypeError, match="is not a subclass of Warning"):
        api.warn("x", category=int)


def warn_of_the_caller(api: Any, text: str) -> None:
    api.warn(text, stacklevel=2)


def test_a_warning_may_name_the_callers_line(api: Any, client: Any) -> None:
    with pytest.warns(UserWarning, match="of the caller") as warnings:
        warn_of_the_caller(api, "of the caller")
    own = inspect.getsourcelines(warn_of_the_caller)[1] + 1
    assert [w.lineno for w in warnings if w.filename == __file__ and w.lineno != own]


def test_a_warning_may_be_about_an_object(api: Any, client: Any) -> None:
    thing = object()
    with pytest.warns(UserWarning, match="of a thing") as warnings:
        api.warn("of a thing", source=thing)
    assert any(warning.source is thing for warning in warnings)


def warn_from_a_task(api: Any) -> None:
    warn_of_the_caller(api, "deep in a task")


@pytest.mark.differs("the worker's client")
def test_so_may_a_warning_from_a_task(api: Any, client: Any, capfd: pytest.CaptureFixture[str]) -> None:
    client.submit(warn_from_a_task, api, pure=False).result()
    line = inspect.getsourcelines(warn_from_a_task)[1] + 1
    text = f"{__file__}:{line}: UserWarning: deep in a task"
    eventually(lambda: text in capfd.readouterr().err, "the warning")


@pytest.mark.parametrize("separate_thread", [True, False])
def test_a_worker_client_may_keep_the_threads_seat(api: Any, client: Any, separate_thread: bool) -> None:
    def through_a_client(x: int) -> Any:
        with api.worker_client(timeout="10 s", separate_thread=separate_thread) as inner:
            return inner.submit(inc, x)

    assert client.gather(client.submit(through_a_client, 41).result()) == 42


def test_a_client_is_found_by_its_clusters_address(api: Any, client: Any, cluster: Any) -> None:
    def which(address: str) -> Any:
        inner = api.get_client(address=address, timeout=10, resolve_address=False)
        return inner.submit(inc, 1).key

    assert client.submit(which, cluster.scheduler_address).result() == client.submit(inc, 1).key


def submit_two(package: str) -> Any:
    return importlib.import_module(package).get_client().map(inc, range(2))


def test_futures_that_a_task_returns_can_be_gathered(api: Any, client: Any) -> None:
    futures = client.submit(submit_two, api.__name__, pure=False).result()
    assert client.gather(futures) == [1, 2]
    assert client.submit(sum, futures).result() == 3
