"""``client.run`` and ``client.run_on_scheduler``: functions beside the tasks."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from tests.contracts.gates import Gate, Mishap, Tally, at_gate, echo, fail_with


def addresses(client: Any) -> set[str]:
    return set(client.scheduler_info()["workers"])


def address_of(dask_worker: Any) -> str:
    return str(dask_worker.address)


async def slow_address_of(dask_worker: Any) -> str:
    await asyncio.sleep(0)
    return str(dask_worker.address)


def test_a_function_runs_once_on_every_worker(client: Any, tmp_path: Any) -> None:
    tally = Tally(tmp_path / "tally")
    results = client.run(tally.add)
    assert set(results) == addresses(client)
    assert tally.count == 2


def test_arguments_reach_the_function(client: Any) -> None:
    results = client.run(echo, 1, [2], x="three")
    assert list(results.values()) == [((1, [2]), {"x": "three"})] * 2


def test_a_function_that_asks_for_it_is_given_the_worker(client: Any) -> None:
    results = client.run(address_of)
    assert all(address == given for address, given in results.items())


def test_a_coroutine_function_is_awaited(client: Any) -> None:
    results = client.run(slow_address_of)
    assert set(results) == addresses(client)
    assert all(address == given for address, given in results.items())


def test_what_is_kept_in_the_workers_attributes_is_there_the_next_time(client: Any) -> None:
    def keep(dask_worker: Any) -> None:
        dask_worker.kept = os.getpid(), dask_worker.address

    def tell(dask_worker: Any) -> Any:
        return dask_worker.kept[1]

    client.run(keep)
    assert all(address == kept for address, kept in client.run(tell).items())


def test_only_the_workers_that_are_named_run_it(client: Any) -> None:
    one, other = addresses(client)
    assert list(client.run(address_of, workers=[one])) == [one]
    assert list(client.run(address_of, workers=[other])) == [other]


def test_it_runs_while_all_threads_are_busy(client: Any, gate: Gate) -> None:
    futures = client.map(at_gate, [gate, gate], [1, 2])
    gate.wait_for_visitors(2)
    assert set(client.run(address_of)) == addresses(client)
    gate.open()
    assert client.gather(futures) == [1, 2]


def test_the_first_error_is_raised(client: Any) -> None:
    with pytest.raises(Mishap, match="too bad"):
        client.run(fail_with, "too bad")


def test_errors_can_be_among_the_results(client: Any) -> None:
    one, other = addresses(client)

    def fail_on_one(dask_worker: Any) -> str:
        if dask_worker.address == one:
            raise ValueError("not here")
        return "fine"

    results = client.run(fail_on_one, on_error="return")
    assert results[other] == "fine"
    assert isinstance(results[one], ValueError)
    assert str(results[one]) == "not here"
    assert client.run(fail_on_one, on_error="ignore") == {other: "fine"}


def test_another_way_to_treat_errors_is_refused(client: Any) -> None:
    with pytest.raises(ValueError, match="on_error must be 'raise', 'return', or 'ignore'"):
        client.run(fail_with, "x", on_error="log")


def test_nobody_waits_for_what_is_started_with_wait_false(client: Any, tmp_path: Any) -> None:
    gate = Gate(tmp_path / "gate")

    async def visit() -> None:
        gate.visitors.add()

    assert client.run(visit, wait=False) is None
    gate.wait_for_visitors(2)


def test_a_function_runs_in_the_scheduler(client: Any) -> None:
    assert client.run_on_scheduler(echo, 1, x=2) == ((1,), {"x": 2})


def test_a_function_in_the_scheduler_sees_workers_and_tasks(client: Any) -> None:
    future = client.submit(echo, 1, key="seen-from-the-scheduler")
    future.result()

    def look(dask_scheduler: Any) -> Any:
        task = dask_scheduler.tasks["seen-from-the-scheduler"]
        threads = {address: worker.nthreads for address, worker in dask_scheduler.workers.items()}
        return task.state, threads, dask_scheduler.address

    state, threads, address = client.run_on_scheduler(look)
    assert state == "memory"
    assert threads == dict.fromkeys(addresses(client), 1)
    assert address == client.scheduler_info()["address"]


def test_a_coroutine_function_runs_on_the_schedulers_loop(client: Any) -> None:
    async def look(dask_scheduler: Any) -> int:
        await asyncio.sleep(0)
        return len(dask_scheduler.workers)

    assert client.run_on_scheduler(look) == 2


def test_an_error_in_the_scheduler_is_raised_here(client: Any) -> None:
    with pytest.raises(Mishap, match="too bad"):
        client.run_on_scheduler(fail_with, "too bad")
    assert client.submit(echo, 1).result() == ((1,), {})


def test_with_an_asynchronous_client_it_is_awaited(api: Any, keywords: Any) -> None:
    async def use() -> None:
        async with api.Client(**keywords(n_workers=1, asynchronous=True)) as client:
            assert len(await client.run(address_of)) == 1
            assert await client.run_on_scheduler(echo, 1) == ((1,), {})

    asyncio.run(use())


def test_what_may_not_be_run_in_the_scheduler_is_refused(api: Any, keywords: Any) -> None:
    with (
        api.LocalCluster(**keywords(n_workers=1, blocked_handlers=["run_function"])) as cluster,
        api.Client(cluster) as client,
    ):
        with pytest.raises(ValueError, match="'run_function' handler has been explicitly disallowed"):
            client.run_on_scheduler(echo)
        assert client.submit(echo, 1).result() == ((1,), {})


@pytest.mark.differs("blocked handlers")
def test_what_is_blocked_is_not_run_on_workers_either(api: Any, keywords: Any) -> None:
    with (
        api.LocalCluster(**keywords(n_workers=1, blocked_handlers=["run_function"])) as cluster,
        api.Client(cluster) as client,
        pytest.raises(ValueError, match="'run_function' handler has been explicitly disallowed"),
    ):
        client.run(echo)


@pytest.mark.differs("bad input")
def test_a_worker_that_is_not_there_is_named(client: Any) -> None:
    with pytest.raises(ValueError, match="'tcp://nowhere:1', which is no worker of this cluster; there are"):
        client.run(echo, workers=["tcp://nowhere:1"])
    with pytest.raises(TypeError, match="function=5 is not callable"):
        client.run(5)
    with pytest.raises(TypeError, match=r"workers=2\.5 is not a list"):
        client.run(echo, workers=2.5)


@pytest.mark.differs("no nannies")
def test_what_supervises_workers_runs_no_user_code(client: Any) -> None:
    with pytest.raises(ValueError, match="nanny=True is not allowed"):
        client.run(echo, nanny=True)


@pytest.mark.differs("bad input")
def test_an_argument_that_cannot_be_pickled_is_named(client: Any) -> None:
    with pytest.raises(TypeError, match=r"args\[1\]"):
        client.run(echo, 1, threading.Lock())


@pytest.mark.differs("run during a death")
def test_a_worker_that_dies_of_it_is_an_error_for_that_worker(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(processes=True)) as client:
        doomed, other = addresses(client)

        def die(dask_worker: Any) -> int:
            if dask_worker.address == doomed:
                os._exit(3)
            return 1

        results = client.run(die, on_error="return")
        assert results[other] == 1
        assert isinstance(results[doomed], OSError)
        assert "exit" in str(results[doomed])
