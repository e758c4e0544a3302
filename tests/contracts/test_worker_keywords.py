"""The keywords of ``Worker`` and ``Scheduler``: each by what it does."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.by_hand import Busy, free_port, loopback_interface, port_of, quiet, run
from tests.contracts.gates import inc
from tests.support.eventually import soon

ELSEWHERE = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
"""Another address of the loopback interface, where there is one."""


# --- where the scheduler is ---


def test_a_worker_and_a_client_find_the_scheduler_by_its_file(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"

    async def main() -> None:
        async with api.Scheduler(port=0, scheduler_file=str(path), **quiet(api)) as scheduler:
            assert json.loads(path.read_text())["address"] == scheduler.address
            async with api.Worker(scheduler_file=str(path), nthreads=1) as worker:
                assert list(scheduler.workers) == [worker.address]
                async with api.Client(scheduler_file=str(path), asynchronous=True) as client:
                    assert await client.submit(inc, 1) == 2

    run(main)


@pytest.mark.differs("nannies")
def test_a_worker_waits_for_the_file_which_goes_with_the_scheduler(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"

    async def main() -> None:
        worker = api.Worker(scheduler_file=path, nthreads=1)
        joining = asyncio.ensure_future(worker.start())
        async with api.Scheduler(scheduler_file=path):
            await joining
        assert not path.exists()
        await worker.close()
        with pytest.raises(TypeError, match="give one of them"):
            api.Worker("tcp://127.0.0.1:1", scheduler_file=path)

    run(main)


def test_connections_are_encrypted_with_the_security_of_a_scheduler(api: Any) -> None:
    security = api.Security.temporary()
    where = {**quiet(api), "host": "127.0.0.1"}

    async def main() -> None:
        async with (
            api.Scheduler(port=0, protocol="tls", security=security, **where) as scheduler,
            api.Worker(scheduler.address, nthreads=1, security=security, host="127.0.0.1") as worker,
            api.Client(scheduler.address, security=security, asynchronous=True) as client,
        ):
            assert {scheduler.address[:6], worker.address[:6]} == {"tls://"}
            assert await client.submit(inc, 1) == 2

    run(main)


def test_both_listen_at_the_interface_that_is_named(api: Any) -> None:
    name = loopback_interface()
    keywords = {key: value for key, value in quiet(api).items() if key != "host"}

    async def main() -> None:
        async with api.Scheduler(port=0, interface=name, **keywords) as scheduler:
            assert scheduler.address.startswith("tcp://127.0.0.1:")
            async with api.Worker(scheduler.address, nthreads=1, interface=name) as worker:
                assert worker.address.startswith("tcp://127.0.0.1:")

    run(main)


def test_both_listen_at_the_host_that_is_named(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler(port=0, **{**quiet(api), "host": ELSEWHERE}) as scheduler:
            assert scheduler.address.startswith(f"tcp://{ELSEWHERE}:")
            async with api.Worker(scheduler.address, nthreads=1, host=ELSEWHERE) as worker:
                assert worker.address.startswith(f"tcp://{ELSEWHERE}:")
                async with api.Client(scheduler.address, asynchronous=True) as client:
                    assert await client.gather(client.submit(bytes, 100_000)) == bytes(100_000)

    run(main)


def test_a_worker_listens_at_the_first_of_its_ports_that_is_free(api: Any) -> None:
    free = free_port()

    async def main() -> None:
        with Busy() as busy:
            async with api.Scheduler(port=0, **quiet(api)) as scheduler:
                async with api.Worker(scheduler.address, nthreads=1, host="127.0.0.1", port=[busy, free]) as worker:
                    assert port_of(worker.address) == free
                with pytest.raises((OSError, RuntimeError)):
                    await api.Worker(scheduler.address, nthreads=1, host="127.0.0.1", port=busy)
                ports = f"{free}:{free + 1}"
                async with api.Worker(scheduler.address, nthreads=1, host="127.0.0.1", port=ports) as worker:
                    assert port_of(worker.address) == free

    run(main)


def test_a_worker_listens_by_the_protocol_that_is_named(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Worker(scheduler.address, nthreads=1, protocol="tcp") as worker,
        ):
            assert worker.address.startswith("tcp://")

    run(main)


def test_the_contact_address_of_a_worker_is_what_others_are_told(api: Any) -> None:
    contact = "tcp://127.0.0.1:1234"

    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Worker(scheduler.address, nthreads=1, contact_address=contact) as worker,
        ):
            assert list(scheduler.workers) == [worker.address] == [contact]

    run(main)


@pytest.mark.differs("contact address")
def test_the_contact_address_of_a_scheduler_is_what_others_are_told(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"

    async def main() -> None:
        port = free_port()
        contact = f"tcp://localhost:{port}"
        async with (
            api.Scheduler(port=port, contact_address=contact, scheduler_file=path) as scheduler,
            api.Worker(scheduler_file=path, nthreads=1),
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            assert json.loads(path.read_text())["address"] == scheduler.address == contact
            assert await client.submit(inc, 1) == 2

    run(main)


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"port": 70000}, "port=70000 is out of range"),
        ({"port": "9010:9000"}, "port='9010:9000'"),
        ({"port": "http"}, "port='http' is not a port"),
        ({"port": True}, "port=True"),
        ({"interface": "no-such0"}, "interface='no-such0'"),
        ({"protocol": "udp"}, "protocol='udp'"),
        ({"contact_address": "somewhere"}, "contact_address='somewhere'"),
        ({"contact_address": 5}, "contact_address=5"),
        ({"lifetime_restart": True}, "lifetime_restart is given without lifetime="),
        ({"silence_logs": "loud"}, "silence_logs='loud'"),
        ({"plugins": ["mine"]}, "plugins=.*nbcluster.WorkerPlugin"),
        ({"http_prefix": 5}, "http_prefix=5"),
        ({"dashboard_address": 1.5}, "dashboard_address=1.5"),
        ({"scheduler_file": "a-file"}, "scheduler_file='a-file': give one of them"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named(api: Any, keywords: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        api.Worker("tcp://127.0.0.1:1", **keywords)


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"protocol": "tls"}, "protocol='tls' does not go with the scheduler"),
        ({"host": "192.0.2.1"}, "connections to them must be encrypted"),
        ({"contact_address": "tls://localhost:1"}, "contact_address='tls://localhost:1' does not go with"),
    ],
    ids=str,
)
def test_a_place_that_others_could_not_reach_is_refused(api: Any, keywords: Any, text: str) -> None:
    async def main() -> None:
        async with api.Scheduler() as scheduler:
            with pytest.raises(ValueError, match=text):
                await api.Worker(scheduler.address, nthreads=1, **keywords)
            assert not scheduler.workers

    run(main)


# --- dashboards ---


def _get(link: str) -> bytes:
    with urllib.request.urlopen(link, timeout=30) as answer:
        body: bytes = answer.read()
    return body


@pytest.mark.differs("dashboard prefix")
def test_a_worker_and_a_scheduler_serve_the_dashboard_below_a_prefix(api: Any) -> None:
    where = {"dashboard_address": "127.0.0.1:0", "http_prefix": "/foo"}

    async def main() -> None:
        async with (
            api.Scheduler(**where) as scheduler,
            api.Client(scheduler.address, asynchronous=True) as client,
            api.Worker(scheduler.address, nthreads=1, **where) as worker,
        ):
            assert client.dashboard_link.endswith("/foo/status")
            assert worker.dashboard_link.endswith("/foo/status")
            assert await asyncio.to_thread(_get, worker.dashboard_link.replace("/status", "/health")) == b"ok"

    run(main)


# --- logs, files ---


def test_a_worker_that_is_silent_logs_nothing_below_a_level(api: Any) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    ours, its = logging.getLogger(api.__name__), logging.getLogger(f"{api.__name__}.worker")

    async def main() -> None:
        async with api.Scheduler(port=0, **quiet(api)) as scheduler:
            async with api.Worker(scheduler.address, nthreads=1, silence_logs=logging.CRITICAL):
                its.error("unheard")
                its.critical("too loud")
            its.error("heard again")

    ours.addHandler(handler)
    try:
        run(main)
    finally:
        ours.removeHandler(handler)
    said = stream.getvalue()
    assert "unheard" not in said
    assert "too loud" in said
    assert "heard again" in said


def test_a_workers_files_are_in_its_local_directory(api: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Worker(scheduler.address, nthreads=1, local_directory=str(tmp_path)),
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            [directory] = (await client.run(lambda dask_worker: dask_worker.local_directory)).values()
            assert directory.startswith(str(tmp_path))

    run(main)


# --- what runs before the first task ---

PRELOAD = """
import click
from pathlib import Path

@click.command()
@click.argument("path")
@click.option("--word", default="none")
def dask_setup(service, path, word):
    with open(path, "a") as file:
        file.write(word + " ")
"""


def test_preloads_are_given_their_arguments(api: Any, tmp_path: Path) -> None:
    (tmp_path / "preload_of_ada.py").write_text(PRELOAD)
    mark = tmp_path / "mark"

    def preload(word: str) -> dict[str, Any]:
        return {"preload": [str(tmp_path / "preload_of_ada.py")], "preload_argv": [str(mark), "--word", word]}

    async def main() -> None:
        async with (
            api.Scheduler(port=0, **preload("scheduler"), **quiet(api)) as scheduler,
            api.Worker(scheduler.address, nthreads=1, **preload("worker")),
        ):
            assert mark.read_text() == "scheduler worker "

    run(main)


def test_plugins_are_there_before_the_first_task(api: Any, tmp_path: Path) -> None:
    class Greeting(api.WorkerPlugin):  # type: ignore[misc]
        name = "greeting"
        worker: Any = None

        def setup(self, worker: Any) -> None:
            self.worker = worker

    class Marks(api.SchedulerPlugin):  # type: ignore[misc]
        name = "marks"

        def __init__(self, path: str) -> None:
            self.path = path

        def add_worker(self, scheduler: Any, worker: str, **kwargs: Any) -> None:
            Path(self.path).write_text(worker)

    plugin, mark = Greeting(), tmp_path / "mark"

    async def main() -> None:
        async with (
            api.Scheduler(port=0, plugins=[Marks(str(mark))], **quiet(api)) as scheduler,
            api.Worker(scheduler.address, nthreads=1, plugins=(plugin,)) as worker,
        ):
            assert plugin.worker.address == worker.address
            await soon(lambda: mark.exists() and mark.read_text() == worker.address)

    run(main)


# --- lifetimes ---


def test_a_worker_goes_when_its_lifetime_is_over(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler(port=0, **quiet(api)) as scheduler:
            worker = await api.Worker(scheduler.address, nthreads=1, lifetime="100ms", lifetime_stagger="10ms")
            await worker.finished()
            await soon(lambda: not scheduler.workers)

    run(main)


@pytest.mark.differs("lifetimes")
def test_another_worker_takes_its_place_and_what_it_held_stays(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler() as scheduler,
            api.Worker(scheduler.address, nthreads=1),
            api.Worker(scheduler.address, nthreads=1, name="ada", lifetime="200ms", lifetime_restart=True) as worker,
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            first = worker.address
            future = client.submit(bytes, 100_000, workers=["ada"], allow_other_workers=True)
            await client.gather(future)
            await soon(lambda: worker.address != first)
            assert await client.gather(future) == bytes(100_000)
            assert await client.submit(inc, 1, workers=["ada"]) == 2

    run(main)


# --- death_timeout ---


async def _mute() -> asyncio.Server:
    """Listens, and never says anything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def test_a_worker_gives_up_if_the_scheduler_does_not_answer_in_time(api: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("ab" * 32)
    known = (
        {"security": api.Security(token_file=token, require_encryption=False)} if quiet(api).get("host") is None else {}
    )

    async def main() -> None:
        async with await _mute() as server:
            address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises((OSError, asyncio.TimeoutError)):
                await api.Worker(address, nthreads=1, death_timeout="200ms", **known)

    run(main)


@pytest.mark.parametrize("kind", ["Worker", "Nanny"])
def test_a_worker_and_a_nanny_wait_for_a_scheduler_until_their_time_is_over(api: Any, kind: str) -> None:
    async def main() -> None:
        worker = getattr(api, kind)(f"tcp://127.0.0.1:{free_port()}", nthreads=1, death_timeout="300ms")
        with pytest.raises(asyncio.TimeoutError):
            await worker
        assert str(worker.status).endswith("failed")
        with pytest.raises(asyncio.TimeoutError):
            await worker

    run(main)


def test_a_worker_gives_up_if_what_it_does_first_takes_too_long(api: Any) -> None:
    slow = "import asyncio\nasync def dask_setup(service):\n    await asyncio.Event().wait()\n"

    async def main() -> None:
        async with api.Scheduler(port=0, **quiet(api)) as scheduler:
            worker = api.Worker(scheduler.address, nthreads=1, death_timeout=0.2, preload=[slow])
            with pytest.raises(asyncio.TimeoutError):
                await worker
            assert str(worker.status).endswith("failed")
            assert not scheduler.workers

    run(main)


def test_a_preload_that_fails_says_so(api: Any) -> None:
    async def main() -> None:
        async with api.Scheduler(port=0, **quiet(api)) as scheduler:
            with pytest.raises((ImportError, RuntimeError)):
                await api.Worker(scheduler.address, nthreads=1, preload=["no_such_module_at_all"])

    run(main)


@pytest.mark.differs("bad input")
def test_a_scheduler_that_is_awaited_in_vain_is_named(api: Any) -> None:
    async def main() -> None:
        address = f"tcp://127.0.0.1:{free_port()}"
        with pytest.raises(asyncio.TimeoutError, match=f"did not join within 0.3 s, .*: no cluster .* at {address}"):
            await api.Worker(address, nthreads=1, death_timeout=0.3)

    run(main)
