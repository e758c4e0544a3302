"""``Worker``, ``Nanny`` and ``Scheduler``: joining a cluster that runs, and building one by hand."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from tests.contracts.by_hand import LOOPBACK, free_port, quiet, quiet_cluster, run
from tests.contracts.gates import add, inc
from tests.support.eventually import soon


def _environment(name: str) -> str | None:
    return os.environ.get(name)


def _pid() -> int:
    return os.getpid()


def test_scheduler_and_worker_tell_what_their_tasks_and_plugins_see(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Worker(scheduler.address, nthreads=2, name="ada") as worker,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            assert await client.submit(inc, 1, key="seen-1") == 2
            future = client.submit(inc, 2, key="held-2")
            await future
            assert scheduler.tasks["held-2"].state == "memory"
            assert {one.address for one in scheduler.tasks["held-2"].who_has} == {worker.address}
            assert scheduler.workers[worker.address].nthreads == 2
            assert client.id in scheduler.clients or len(scheduler.clients) == 1
            assert scheduler.total_nthreads == 2
            identity = scheduler.identity()
            assert (identity["n_workers"], identity["total_threads"]) == (1, 2)
            assert identity["total_memory"] == identity["workers"][worker.address]["memory_limit"]
            assert worker.data["held-2"] == 3
            assert worker.state.nthreads == 2
            assert worker.state.tasks["held-2"].state == "memory"
            assert worker.contact_address == worker.address
            with pytest.raises(AttributeError, match="unheard_of"):
                _ = scheduler.unheard_of
            with pytest.raises(AttributeError, match="unheard_of"):
                _ = worker.unheard_of

    run(main)


def test_tasks_see_what_a_worker_has_of_its_own_class_and_what_it_is_given(api: Any) -> None:
    class Greeting(api.Worker):  # type: ignore[misc]
        def __init__(self, *args: Any, greeting: str, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            self.greeting = greeting

        def greet(self, name: str) -> str:
            return f"{self.greeting}, {name}, from {self.address}"

    def look(dask_worker: Any) -> Any:
        dask_worker.left_behind = 5
        return dask_worker.greet("Ada"), dask_worker.model

    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            Greeting(scheduler.address, nthreads=1, greeting="Hello") as worker,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            worker.model = "loaded"
            seen = "Hello, Ada, from " + worker.address, "loaded"
            assert await client.run(look) == {worker.address: seen}
            assert worker.left_behind == 5
            assert await client.submit(lambda: api.get_worker().model) == "loaded"
            with pytest.raises(AttributeError, match="unheard_of"):
                await client.run(lambda dask_worker: dask_worker.unheard_of)

    run(main)


def test_what_a_worker_holds_stays_when_it_closes_gracefully(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Worker(scheduler.address, nthreads=1, name="going") as going,
            api.Worker(scheduler.address, nthreads=1, name="staying") as staying,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            future = client.submit(inc, 1, workers=["going"], allow_other_workers=False)
            await future
            await going.close_gracefully()
            await soon(lambda: list(scheduler.workers) == [staying.address])
            assert str(going.status).endswith("closed")
            assert {one.address for one in scheduler.tasks[future.key].who_has} == {staying.address}
            assert await future == 2

    run(main)


def test_a_scheduler_has_ended_when_a_client_has_shut_it_down(api: Any) -> None:
    async def main() -> None:
        scheduler = await api.Scheduler(port=0, **quiet(api))
        worker = await api.Worker(scheduler.address, nthreads=1)
        client = await api.Client(scheduler.address, asynchronous=True)
        await client.shutdown()
        await scheduler.finished()
        await worker.finished()
        await soon(lambda: all(str(one.status).endswith("closed") for one in (scheduler, worker)))

    run(main)


def test_a_scheduler_tells_the_very_plugins_that_it_is_given(api: Any) -> None:
    class Teller(api.SchedulerPlugin):  # type: ignore[misc]
        def __init__(self) -> None:
            self.told: list[Any] = []

        async def start(self, scheduler: Any) -> None:
            self.told.append("start")

        def add_worker(self, scheduler: Any, worker: str, **keywords: Any) -> None:
            self.told.append(("add_worker", worker, worker in scheduler.workers))

        def remove_worker(self, scheduler: Any, worker: str, **keywords: Any) -> None:
            self.told.append(("remove_worker", worker, worker in scheduler.workers))

        async def before_close(self) -> None:
            self.told.append("before_close")

        async def close(self) -> None:
            self.told.append("close")

    teller = Teller()

    async def main() -> None:
        async with api.Scheduler(port=0, plugins=[teller], **quiet(api)) as scheduler:
            assert teller in scheduler.plugins.values()
            async with api.Worker(scheduler.address, nthreads=1) as worker:
                address = worker.address
            await soon(lambda: not scheduler.workers)
        moves = [("add_worker", address, True), ("remove_worker", address, False)]
        assert teller.told == ["start", *moves, "before_close", "close"]

    run(main)


def test_who_is_closed_may_be_told_why(api: Any) -> None:
    async def main() -> None:
        scheduler = await api.Scheduler(port=0, **quiet(api))
        worker = await api.Worker(scheduler.address, nthreads=1)
        other = await api.Worker(scheduler.address, nthreads=1)
        nanny = await api.Nanny(scheduler.address, nthreads=1)
        await worker.close(reason="a test")
        await other.close_gracefully(restart=False, reason="a test")
        await nanny.close(timeout=20, reason="a test")
        await scheduler.close(reason="a test")
        for one in (worker, other, nanny, scheduler):
            assert str(one.status).endswith("closed")
            await one.close()

    run(main)


@pytest.mark.differs("lifetimes")
def test_another_takes_the_place_of_a_worker_that_closes_gracefully_to_be_restarted(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler() as scheduler,
            api.Worker(scheduler.address, nthreads=1, name="ada") as worker,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            before = worker.id
            await worker.close_gracefully(restart=True)
            await soon(lambda: worker.id != before)
            assert await client.submit(inc, 1, workers=["ada"]) == 2

    run(main)


def test_a_worker_has_a_client(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Worker(scheduler.address, nthreads=1) as worker,
            api.Client(scheduler.address, asynchronous=True),
        ):
            ready = await asyncio.to_thread(lambda: worker.client) if api.__name__ == "nbcluster" else worker.client
            assert worker.client is ready
            assert await ready.submit(inc, 1) == 2

    run(main)


@pytest.mark.differs("the worker's client")
def test_a_client_for_which_an_event_loop_would_wait_for_itself_is_refused_at_once(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler() as scheduler, api.Worker(scheduler.address, nthreads=1) as worker:
            with pytest.raises(RuntimeError, match=r"to_thread\(worker.get_client\)"):
                _ = worker.client
            client = await asyncio.to_thread(worker.get_client)
            assert worker.client is client

    run(main)


def test_a_cluster_is_put_together_by_hand(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler(port=0, **quiet(api)) as scheduler:
            assert scheduler.address.startswith("tcp://127.0.0.1:")
            async with api.Worker(scheduler.address, nthreads=3, name="ada", resources={"GPU": 2}) as worker:
                assert str(worker.status).endswith("running")
                assert list(scheduler.workers) == [worker.address]
                async with api.Client(scheduler.address, asynchronous=True) as client:
                    assert await client.submit(inc, 0, workers=["ada"]) == 1
                    assert await client.submit(inc, 1, resources={"GPU": 1}) == 2
                    assert await client.submit(_pid) == os.getpid()
            assert not scheduler.workers

    run(main)


def test_a_worker_ends_with_its_scheduler(api: Any) -> None:
    async def main() -> None:
        scheduler = await api.Scheduler(port=0, **quiet(api))
        worker = await api.Worker(scheduler.address, nthreads=1, death_timeout="5s")
        await scheduler.close()
        await worker.finished()
        await soon(lambda: str(worker.status).endswith("closed"))
        await worker.close()

    run(main)


@pytest.mark.differs("nannies")
def test_a_nanny_restarts_its_worker(api: Any) -> None:
    async def main() -> None:
        scheduler = api.Scheduler()
        async with scheduler:
            nanny = api.Nanny(scheduler.address, nthreads=1, name="eve", env={"ADA": "1"})
            async with nanny, api.Client(scheduler.address, asynchronous=True) as client:
                pid = await client.submit(_pid, pure=False)
                assert pid == nanny.pid != os.getpid()
                assert await client.submit(_environment, "ADA") == "1"
                os.kill(pid, 9)
                assert await client.submit(_pid, pure=False) != pid
        assert nanny.status == "closed"

    run(main)


@pytest.mark.differs("nannies")
def test_extra_workers_join_a_cluster_that_runs_and_scaling_leaves_them_alone(api: Any) -> None:
    async def main() -> None:
        keywords = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "asynchronous": True}
        async with api.SubprocessCluster(security=True, **keywords) as cluster:
            worker = api.Worker(cluster.scheduler_address, nthreads=1, name="extra", security=cluster.security)
            async with worker, api.Client(cluster, asynchronous=True) as client:
                assert await client.submit(_pid, workers=["extra"]) == os.getpid()
                await cluster.scale(0)
                assert await client.submit(inc, 1) == 2

    run(main)


def test_a_client_waits_for_a_scheduler_that_is_about_to_start(api: Any) -> None:
    async def main() -> None:
        port = free_port()

        async def ask() -> int:
            async with api.Client(f"tcp://{LOOPBACK}:{port}", asynchronous=True, timeout=60) as client:
                return int(await client.run_on_scheduler(os.getpid))

        asked = asyncio.ensure_future(ask())
        await asyncio.sleep(0)  # by then it has looked once
        async with api.Scheduler(port=port, **quiet(api)):
            assert await asked == os.getpid()

    run(main)


@pytest.mark.parametrize("kind", ["Worker", "Nanny"])
def test_a_worker_and_a_nanny_wait_for_a_scheduler_that_is_about_to_start(api: Any, kind: str) -> None:
    async def main() -> None:
        port = free_port()
        worker = getattr(api, kind)(f"tcp://{LOOPBACK}:{port}", nthreads=1, name="early")
        joining = asyncio.ensure_future(worker.start())
        await asyncio.wait([joining], timeout=0.2)  # by then it has looked at least once
        assert not joining.done()
        async with api.Scheduler(port=port, **quiet(api)) as scheduler:
            await joining
            assert [one.name for one in scheduler.workers.values()] == ["early"]
            await worker.close()

    run(main)


@pytest.mark.differs("nannies")
def test_who_is_closed_before_it_has_started_says_so_and_others_may_await_the_start(api: Any) -> None:
    async def main() -> None:
        worker = api.Worker(f"tcp://{LOOPBACK}:{free_port()}", nthreads=1)
        starting = [asyncio.ensure_future(worker.start()) for _ in range(2)]
        await asyncio.wait(starting, timeout=0.05)
        await worker.close()
        for one in starting:
            with pytest.raises(RuntimeError, match="was closed before it had started"):
                await one
        assert worker.status == "closed"

        cancelled = api.Worker(f"tcp://{LOOPBACK}:{free_port()}", nthreads=1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(cancelled.start(), 0.05)
        assert cancelled.status == "failed"
        with pytest.raises(RuntimeError, match=r"the start of .* was cancelled"):
            await cancelled

    run(main)


@pytest.mark.differs("nannies")
def test_a_name_that_is_taken_is_refused(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler() as scheduler, api.Worker(scheduler.address, nthreads=1, name="ada"):
            with pytest.raises(ValueError, match="name taken, 'ada'"):
                await api.Worker(scheduler.address, name="ada")

    run(main)


def test_workers_join_a_cluster_of_threads_that_speaks_tcp(api: Any) -> None:
    keywords: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "asynchronous": True}

    async def main() -> None:
        async with (
            api.LocalCluster(protocol="tcp", **keywords, **quiet_cluster(api)) as cluster,
            api.Worker(cluster.scheduler_address, nthreads=1, name="extra"),
            api.Nanny(cluster.scheduler_address, nthreads=1, name="further"),
            api.Client(cluster, asynchronous=True) as client,
        ):
            [own] = set(cluster.workers) - {"extra", "further"}
            first = client.submit(bytes, 200_000, workers=[own])
            second = client.submit(add, first, b"!", workers=["extra"])
            third = client.submit(add, second, b"!", workers=["further"])
            assert await client.submit(add, third, b"!", workers=[own]) == bytes(200_000) + b"!!!"

    run(main)


@pytest.mark.differs("nannies")
def test_none_joins_a_cluster_of_threads_that_hand_each_other_live_objects(api: Any) -> None:
    async def main() -> None:
        keywords = {"n_workers": 0, "processes": False, "dashboard_address": None, "asynchronous": True}
        async with api.LocalCluster(**keywords) as cluster:
            assert cluster.scheduler_address.startswith("inproc://")
            with pytest.raises(RuntimeError, match="none can join from elsewhere; start it with protocol='tcp'"):
                await api.Nanny(cluster.scheduler_address, nthreads=1)
            async with api.Worker(cluster.scheduler_address, nthreads=1) as worker:
                assert worker.address.startswith("inproc://")

    run(main)


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"nthreads": 0}, ValueError, "nthreads=0"),
        ({"nthreds": 1}, TypeError, "did you mean 'nthreads'"),
        ({"name": 1.5}, TypeError, "name=1.5"),
        ({"resources": {"GPU": -1}}, ValueError, "GPU"),
        ({"memory_limit": -1}, ValueError, "memory_limit=-1"),
        ({"death_timeout": "soon"}, ValueError, "death_timeout"),
        ({"preload": 5}, TypeError, "preload=5"),
        ({"security": "x"}, TypeError, "security"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named(api: Any, keywords: Any, error: type[Exception], text: str) -> None:
    async def main() -> None:
        with pytest.raises(error, match=text):
            api.Worker("tcp://127.0.0.1:1", **keywords)
        with pytest.raises(error, match=text):
            api.Nanny("tcp://127.0.0.1:1", **keywords)

    run(main)


@pytest.mark.differs("nannies")
def test_a_scheduler_takes_what_scheduler_kwargs_takes(api: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="did you mean 'idle_timeout'"):
            api.Scheduler(idle_timeot=1)
        with pytest.raises(ValueError, match="protocol='inproc'"):
            api.Scheduler(protocol="inproc")
        scheduler = await api.Scheduler(idle_timeout="20ms")
        await scheduler.finished()

    run(main)
