"""The keywords of ``Nanny``: each by what it does, in the process that it keeps running."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.by_hand import free_port, loopback_interface, quiet, quiet_cluster, run
from tests.contracts.gates import inc
from tests.contracts.test_worker_keywords import ELSEWHERE, PRELOAD
from tests.support.eventually import soon

MiB = 2**20


def _die(mark: str, how: int) -> None:
    with open(mark, "a") as file:
        file.write("x")
    print("these are my last words", flush=True)
    os.kill(os.getpid(), how)


def _log(text: str) -> None:
    import logging

    logging.getLogger("nbcluster.worker").error(text)


def test_its_worker_is_what_the_keywords_say(api: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "scheduler.json")
    (tmp_path / "preload_of_eve.py").write_text(PRELOAD)
    preload, its_mark, nannys_mark = [str(tmp_path / "preload_of_eve.py")], tmp_path / "mark", tmp_path / "nannys"
    keywords: dict[str, Any] = {
        "nthreads": 3,
        "name": "eve",
        "memory_limit": "300 MiB",
        "resources": {"GPU": 2},
        "local_directory": str(tmp_path),
        "interface": loopback_interface(),
        "protocol": "tcp",
        "death_timeout": "50s",
        "preload": preload,
        "preload_argv": [str(its_mark), "--word", "worker"],
        "preload_nanny": preload,
        "preload_nanny_argv": [str(nannys_mark), "--word", "nanny"],
    }

    async def main() -> None:
        async with (
            api.Scheduler(port=0, scheduler_file=path, **quiet(api)) as scheduler,
            api.Nanny(scheduler_file=path, **keywords),
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            [(address, worker)] = scheduler.workers.items()
            assert address.startswith("tcp://127.0.0.1:")
            assert (worker.name, worker.nthreads, worker.memory_limit) == ("eve", 3, 300 * MiB)
            assert (its_mark.read_text(), nannys_mark.read_text()) == ("worker ", "nanny ")
            assert await client.submit(inc, 1, resources={"GPU": 2}, workers=["eve"]) == 2
            [directory] = (await client.run(lambda dask_worker: dask_worker.local_directory)).values()
            assert directory.startswith(str(tmp_path))

    run(main)


def test_its_worker_listens_where_it_is_told_and_connections_are_encrypted(api: Any) -> None:
    security = api.Security.temporary()

    async def main() -> None:
        port = free_port()
        where = {**quiet(api), "host": "127.0.0.1"}
        async with (
            api.Scheduler(port=0, protocol="tls", security=security, **where) as scheduler,
            api.Nanny(scheduler.address, nthreads=1, security=security, host=ELSEWHERE, worker_port=port),
        ):
            assert list(scheduler.workers) == [f"tls://{ELSEWHERE}:{port}"]

    run(main)


def test_its_contact_address_is_what_others_are_told(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Nanny(scheduler.address, nthreads=1, contact_address="tcp://127.0.0.1:1234"),
        ):
            assert list(scheduler.workers) == ["tcp://127.0.0.1:1234"]

    run(main)


@pytest.mark.differs("nannies")
def test_a_listen_address_is_a_host_and_a_port(api: Any) -> None:
    address = f"tcp://{ELSEWHERE}:{free_port()}"

    async def main() -> None:
        async with api.Scheduler() as scheduler, api.Nanny(scheduler.address, nthreads=1, listen_address=address):
            assert list(scheduler.workers) == [address]

    run(main)


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"port": 5}, "port=5 .*worker_port="),
        ({"worker_port": 70000}, "worker_port=70000"),
        ({"listen_address": "tcp://127.0.0.1:5", "worker_port": 5}, "listen_address=.*worker_port="),
        ({"listen_address": "inproc://a"}, "listen_address='inproc://a'"),
        ({"preload_nanny": 5}, "preload_nanny=5"),
        ({"env": "ADA"}, "env='ADA'"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named(api: Any, keywords: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        api.Nanny("tcp://127.0.0.1:1", **keywords)


@pytest.mark.differs("nannies")
def test_a_silent_worker_logs_nothing_below_a_level(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler() as scheduler,
            api.Nanny(scheduler.address, nthreads=1, silence_logs="CRITICAL") as nanny,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            await client.submit(_log, "unheard")
            await client.submit(print, "heard", flush=True)
            await soon(lambda: any("heard" in line.text for line in nanny.log.lines()))
            assert not any("unheard" in line.text for line in nanny.log.lines())

    run(main)


def test_its_worker_goes_when_its_lifetime_is_over(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler(port=0, **quiet(api)) as scheduler:
            nanny = await api.Nanny(scheduler.address, nthreads=1, lifetime="100ms")
            await nanny.finished()
            await soon(lambda: not scheduler.workers)

    run(main)


@pytest.mark.differs("lifetimes")
def test_another_worker_takes_its_place(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler() as scheduler,
            api.Nanny(scheduler.address, nthreads=1, name="eve", lifetime="500ms", lifetime_restart=True) as nanny,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            first = nanny.pid
            await soon(lambda: nanny.pid not in (0, first))
            assert await client.submit(os.getpid, workers=["eve"]) != first

    run(main)


def test_workers_tell_what_came_from_others_and_went_to_them(api: Any) -> None:
    def look(dask_worker: Any) -> Any:
        return list(dask_worker.transfer_incoming_log), list(dask_worker.transfer_outgoing_log)

    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Nanny(scheduler.address, nthreads=1) as one,
            api.Nanny(scheduler.address, nthreads=1) as other,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            large = client.submit(bytes, 300_000, workers=[one.worker_address])
            assert await client.submit(len, large, workers=[other.worker_address]) == 300_000
            logs = await client.run(look)
            [came] = [entry for entry in logs[other.worker_address][0] if large.key in entry["keys"]]
            [went] = [entry for entry in logs[one.worker_address][1] if large.key in entry["keys"]]
            assert (came["who"], went["who"]) == (one.worker_address, other.worker_address)
            assert logs[one.worker_address][0] == []
            for entry in (came, went):
                assert entry["keys"][large.key] == entry["total"] >= 300_000
                assert entry["stop"] >= entry["start"]
                assert entry["bandwidth"] > 0
                assert entry["duration"] > 0

    run(main)


# --- what it does to its worker ---


def test_it_ends_its_worker_and_starts_another(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            nanny = await api.Nanny(scheduler.address, nthreads=1, name="eve")
            pids = [nanny.pid]
            assert str(await nanny.instantiate()).endswith("running")
            assert nanny.pid == pids[0]  # there was one

            assert await nanny.restart(timeout=50, reason="a test") == "OK"
            pids.append(nanny.pid)
            assert list(scheduler.workers) == [nanny.worker_address]
            assert await client.submit(os.getpid, pure=False) == pids[-1]

            await nanny.kill(timeout=10, reason="a test")
            assert nanny.pid != pids[-1]
            assert str(await nanny.instantiate()).endswith("running")
            pids.append(nanny.pid)
            assert nanny.is_alive()
            assert list(scheduler.workers) == [nanny.worker_address]
            await nanny.kill()
            assert await client.submit(os.getpid, pure=False) not in pids  # it starts another by itself
            assert len(set(pids)) == len(pids)

            await nanny.close()
            assert (nanny.is_alive(), nanny.pid, nanny.worker_address) == (False, None, None)
            await nanny.kill()

    run(main)


@pytest.mark.differs("nannies")
def test_what_needs_a_nanny_that_runs_says_so(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler() as scheduler:
            nanny = api.Nanny(scheduler.address, nthreads=1)
            assert (nanny.pid, nanny.worker_address) == (None, None)
            for _ in range(2):
                with pytest.raises(RuntimeError, match=r"instantiate\(\) needs a nanny that runs"):
                    await nanny.instantiate()
                with pytest.raises(RuntimeError, match=r"restart\(\) needs a nanny that runs"):
                    await nanny.restart()
                await nanny.close()

    run(main)


@pytest.mark.differs("nannies")
def test_a_restart_that_takes_too_long_goes_on(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler() as scheduler, api.Nanny(scheduler.address, nthreads=1) as nanny:
            first = nanny.pid
            assert await nanny.restart(timeout=0) == "timed out"
            await soon(lambda: nanny.pid not in (None, first))
            with pytest.raises(ValueError, match="timeout='soon'"):
                await nanny.kill(timeout="soon")

    run(main)


def test_plugins_are_added_to_it(api: Any) -> None:
    told: list[Any] = []

    class Teller(api.NannyPlugin):  # type: ignore[misc]
        name = "teller"

        def setup(self, nanny: Any) -> None:
            told.append(nanny)

        def teardown(self, nanny: Any) -> None:
            told.append(None)

    class Restarting(api.NannyPlugin):  # type: ignore[misc]
        restart = True

        async def setup(self, nanny: Any) -> None:
            told.append("restarting")

    async def main() -> None:
        async with api.Scheduler(port=0, **quiet(api)) as scheduler:
            nanny = await api.Nanny(scheduler.address, nthreads=1)
            first = nanny.pid
            teller = Teller()
            assert await nanny.plugin_add(teller) == {"status": "OK"}
            assert told == [nanny]
            assert nanny.plugins["teller"] is teller
            assert await nanny.plugin_add(Restarting(), name="r") == {"status": "OK"}
            assert told == [nanny, "restarting"]
            assert nanny.pid not in (None, first)
            assert await nanny.plugin_remove("r") == {"status": "OK"}
            assert list(nanny.plugins) == ["teller"]
            await nanny.close()
            assert told[2:] == [None]

    run(main)


@pytest.mark.differs("failing plugins of nannies")
def test_a_plugin_that_fails_says_so(api: Any) -> None:
    class Failing(api.NannyPlugin):  # type: ignore[misc]
        def setup(self, nanny: Any) -> None:
            raise ValueError("not today")

    async def main() -> None:
        async with api.Scheduler() as scheduler, api.Nanny(scheduler.address, nthreads=1) as nanny:
            with pytest.raises(ValueError, match="not today"):
                await nanny.plugin_add(Failing())
            with pytest.raises(TypeError, match="plugin=5"):
                await nanny.plugin_add(5)
            with pytest.raises(KeyError, match="'nobody' is no plugin of"):
                await nanny.plugin_remove("nobody")
            assert not nanny.plugins

    run(main)


def test_who_they_are_and_where_their_files_are_is_told(api: Any, tmp_path: Path) -> None:
    async def main() -> None:
        keywords = {"nthreads": 1, "local_directory": str(tmp_path)}
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Nanny(scheduler.address, name="eve", **keywords) as nanny,
            api.Worker(scheduler.address, name="ada", **keywords) as worker,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            assert repr(nanny).startswith(f"<Nanny: {nanny.worker_address}, ")
            assert repr(nanny).endswith("threads: 1>")
            assert repr(worker).startswith(f"<Worker '{worker.address}', name: ada, status: running, stored: 0, runn")
            assert repr(scheduler) == f"<Scheduler '{scheduler.address}', workers: 2, cores: 2, tasks: 0>"
            future = client.submit(inc, 1, workers=["ada"])
            await future
            assert "stored: 1, running: 0/1, ready: 0, comm: 0, waiting: 0>" in repr(worker)
            assert repr(scheduler).endswith("tasks: 1>")
            told = await client.run(lambda dask_worker: dask_worker.local_directory)
            assert told == {nanny.worker_address: nanny.worker_dir, worker.address: worker.local_directory}
            for directory in (nanny.local_directory, nanny.worker_dir, worker.local_directory):
                assert os.path.isdir(directory)  # noqa: ASYNC240 (it is of this machine)
                assert directory.startswith(str(tmp_path))
            seen = await client.run_on_scheduler(
                lambda dask_scheduler: {one.address: one.local_directory for one in dask_scheduler.workers.values()}
            )
            assert seen == told
            identity = scheduler.identity()["workers"]
            assert {address: one["local_directory"] for address, one in identity.items()} == told

    run(main)


def test_a_client_is_told_where_the_files_of_workers_are(api: Any, tmp_path: Path) -> None:
    keywords: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "local_directory": str(tmp_path)}
    with api.LocalCluster(processes=False, **keywords, **quiet_cluster(api)) as cluster, api.Client(cluster) as client:
        [worker] = client.scheduler_info()["workers"].values()
        [directory] = client.run(lambda dask_worker: dask_worker.local_directory).values()
        assert worker["local_directory"] == directory
        assert directory.startswith(str(tmp_path))


# --- what a client has done to it ---


def test_a_nanny_ends_when_its_worker_is_retired(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Nanny(scheduler.address, nthreads=1, name="going") as going,
            api.Nanny(scheduler.address, nthreads=1, name="staying") as staying,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            address = going.worker_address
            future = client.submit(inc, 1, workers=["going"], allow_other_workers=False)
            await future
            assert list(await client.retire_workers([address])) == [address]
            await going.finished()
            await soon(lambda: str(going.status).endswith("closed"))
            assert not going.is_alive()
            assert await future == 2
            assert [worker.name for worker in scheduler.workers.values()] == ["staying"]
            assert staying.is_alive()

    run(main)


def test_a_worker_that_a_nanny_keeps_is_restarted(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Nanny(scheduler.address, nthreads=1, name="eve") as nanny,
            api.Worker(scheduler.address, nthreads=1, name="ada") as worker,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            address, first = nanny.worker_address, nanny.pid
            lost = client.submit(os.getpid, workers=["eve"], pure=False)
            assert await lost == first
            assert await client.restart_workers([address]) == {address: "OK"}
            second = nanny.pid
            assert second != first
            assert {one.name for one in scheduler.workers.values()} == {"ada", "eve"}
            assert await client.submit(os.getpid, workers=["eve"], pure=False) == second
            assert await client.restart_workers(["eve"]) == {"eve": "OK"}
            third = nanny.pid
            assert third not in (first, second)
            for raise_for_error in (True, False):
                with pytest.raises(ValueError, match="nanny"):
                    await client.restart_workers([worker.address], raise_for_error=raise_for_error)
                with pytest.raises(ValueError, match="nanny"):
                    await client.restart_workers(["eve", worker.address], raise_for_error=raise_for_error)
            assert nanny.pid == third
            assert str(worker.status).endswith("running")

    run(main)


@pytest.mark.parametrize("wait_for_workers", [True, False])
def test_restarting_the_cluster_restarts_it(api: Any, wait_for_workers: bool) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Nanny(scheduler.address, nthreads=1, name="eve") as nanny,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            first = nanny.pid
            future = client.submit(inc, 1)
            await future
            await client.restart(wait_for_workers=wait_for_workers)
            assert future.cancelled()
            assert await client.submit(os.getpid) not in (first, os.getpid())

    run(main)


@pytest.mark.differs("restart threads")
def test_restarting_the_cluster_starts_workers_without_a_nanny_afresh(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler() as scheduler,
            api.Worker(scheduler.address, nthreads=1, name="ada") as worker,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            before = worker.id
            await client.restart()
            assert worker.id != before
            assert await client.submit(os.getpid, workers=["ada"]) == os.getpid()
            await client.restart(wait_for_workers=False)
            assert await client.submit(os.getpid, workers=["ada"], pure=False) == os.getpid()

    run(main)


@pytest.mark.differs("retired, not closed")
@pytest.mark.parametrize("kind", ["Worker", "Nanny"])
def test_it_stays_when_it_is_retired_without_being_closed(api: Any, kind: str) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            getattr(api, kind)(scheduler.address, nthreads=1, name="eve") as guest,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            [address] = scheduler.workers
            await client.retire_workers([address], close_workers=False)
            await client.run_on_scheduler(inc, 1)  # by then it would have been told
            assert str(guest.status).endswith("running")

    run(main)


# --- starts that fail ---


@pytest.mark.parametrize("what", ["preload", "plugins"])
def test_a_worker_that_cannot_be_started_is_an_error_at_once(api: Any, what: str) -> None:
    class Failing(api.WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            raise ValueError("not today")

    keywords: dict[str, Any] = {"preload": ["no_such_module_at_all"], "plugins": [Failing()]}

    async def main() -> None:
        async with api.Scheduler(port=0, **quiet(api)) as scheduler:
            nanny = api.Nanny(scheduler.address, nthreads=1, **{what: keywords[what]})
            with pytest.raises(RuntimeError):
                await asyncio.wait_for(nanny.start(), 50)
            assert str(nanny.status).endswith("failed")
            assert not scheduler.workers

    run(main)


@pytest.mark.differs("nannies")
def test_why_a_worker_cannot_be_started_is_told(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler() as scheduler:
            with pytest.raises(RuntimeError, match=r"cannot be started: it exited with code 1.*(\n.*)*no_such_module"):
                await api.Nanny(scheduler.address, nthreads=1, preload=["no_such_module_at_all"])

    run(main)


# --- deaths ---


def _fork_and_end() -> tuple[int, int]:
    """How a child that was told to end has ended, and who asked."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"x")
        time.sleep(30)
        os._exit(0)
    os.read(reading, 1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    return os.WTERMSIG(status), os.getpid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process is forked here")
def test_a_task_may_end_a_process_that_it_has_forked(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Nanny(scheduler.address, nthreads=1) as nanny,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            first = nanny.pid
            for _ in range(2):
                assert await client.submit(_fork_and_end, pure=False) == (signal.SIGTERM, first)
            assert await client.submit(os.getpid, pure=False) == first == nanny.pid

    run(main)


def test_a_task_errs_when_more_workers_died_of_it_than_are_allowed(api: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    async def main() -> None:
        async with (
            api.Scheduler(port=0, allowed_failures=0, **quiet(api)) as scheduler,
            api.Nanny(scheduler.address, nthreads=1),
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            with pytest.raises(api.KilledWorker):
                await client.submit(_die, str(mark), signal.SIGKILL)
            assert mark.read_text() == "x"
            assert await client.submit(inc, 1) == 2

    run(main)


@pytest.mark.differs("nannies")
def test_how_its_worker_died_is_told(api: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(allowed_failures=0) as scheduler,
            api.Nanny(scheduler.address, nthreads=1),
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            with pytest.raises(api.KilledWorker) as caught:
                await client.submit(_die, str(tmp_path / "mark"), signal.SIGSEGV)
            assert "SIGSEGV" in caught.value.cause
            assert "these are my last words" in caught.value.log
            with pytest.raises(api.KilledWorker, match="exited with code 3"):
                await client.submit(os._exit, 3)

    run(main)


@pytest.mark.differs("nannies")
def test_only_the_task_that_it_ran_is_blamed(api: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(allowed_failures=0) as scheduler,
            api.Nanny(scheduler.address, nthreads=1),
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            deadly = client.submit(_die, str(tmp_path / "mark"), signal.SIGKILL, priority=10)
            others = client.map(inc, range(3))
            with pytest.raises(api.KilledWorker):
                await deadly
            assert await client.gather(others) == [1, 2, 3]

    run(main)


@pytest.mark.differs("nannies")
def test_of_two_that_want_one_name_at_once_one_gets_it(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler() as scheduler:
            workers = [api.Worker(scheduler.address, nthreads=1, name="ada") for _ in range(4)]
            ends = await asyncio.gather(*(worker.start() for worker in workers), return_exceptions=True)
            refused = [end for end in ends if isinstance(end, ValueError)]
            assert len(refused) == 3
            assert all("name taken, 'ada'" in str(error) for error in refused)
            assert len(scheduler.workers) == 1
            await next(worker for worker in workers if worker.status == "running").close()
            async with api.Worker(scheduler.address, nthreads=1, name="ada"):
                assert len(scheduler.workers) == 1

    run(main)


@pytest.mark.differs("nannies")
def test_the_names_of_a_cluster_and_of_its_guests_do_not_meet(api: Any) -> None:
    async def main() -> None:
        keywords = {"threads_per_worker": 1, "dashboard_address": None, "asynchronous": True}
        async with api.SubprocessCluster(n_workers=1, **keywords) as cluster:
            address = cluster.scheduler_address
            with pytest.raises(ValueError, match="name taken, 0"):
                await api.Worker(address, nthreads=1, name=0)
            async with api.Worker(address, nthreads=1, name=1), api.Client(cluster, asynchronous=True) as client:
                await cluster.scale(2)
                await client.wait_for_workers(3)
                await soon(lambda: cluster.observed == {0, 1, 2})  # a view may be a second old
                assert await client.submit(os.getpid, workers=["1"]) == os.getpid()

    run(main)
