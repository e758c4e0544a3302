"""Starting the dashboard process by visits: with the real process, and with small programs in its place."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from nbcluster.dashboard import activation
from nbcluster.dashboard.activation import SOCKET_NAME, DashboardActivator
from nbcluster.errors import ClusterError
from tests.support.eventually import soon
from tests.support.fake_cluster import TOKEN, FakeCluster
from tests.support.raw_http import request, session_token

ADDRESS = "tcp://127.0.0.1:1"
ONCE = """
import os, socket, sys
from nbcluster.dashboard.settings import read
settings = read(sys.stdin.buffer)
listening = socket.socket(fileno=settings.tcp_sockets[0])
listening.setblocking(True)
visitor, _ = listening.accept()
visitor.recv(65536)
visitor.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n%d" % os.getpid())
visitor.close()
"""
"""Answers one visitor, and ends."""


def port_of(activator: DashboardActivator) -> tuple[str, int]:
    parts = urlsplit(activator.link)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


@asynccontextmanager
async def activated(
    directory: Path, addresses: Any = ":0", program: str | None = None, **options: Any
) -> AsyncIterator[DashboardActivator]:
    if program is not None:
        options["command"] = (sys.executable, "-c", program)
    activator = DashboardActivator(addresses, directory, **{"cluster_address": ADDRESS, "token": TOKEN, **options})
    await activator.start()
    try:
        yield activator
    finally:
        await activator.close()


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        before = set(children())
        await scenario()
        assert set(children()) <= before

    asyncio.run(whole())


def test_bokeh_is_not_imported_by_the_cluster() -> None:
    program = "import sys, nbcluster.dashboard.activation; print({'bokeh', 'tornado'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_nothing_runs_until_somebody_visits(tmp_path: Path) -> None:
    async def scenario() -> None:
        before = len(children())
        async with activated(tmp_path, program=ONCE) as activator:
            assert len(children()) == before
            reply = await request(port_of(activator), "/")
            assert reply.status == 200

    play(scenario)


def test_after_its_end_the_next_visit_starts_another_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with activated(tmp_path, program=ONCE) as activator:
            first = await request(port_of(activator), "/")
            second = await request(port_of(activator), "/")
            assert first.status == second.status == 200
            assert first.text != second.text

    play(scenario)


def test_no_address_means_no_port_but_still_the_way_for_jupyter(tmp_path: Path) -> None:
    def ports() -> set[int]:
        connections = psutil.Process().net_connections("tcp")
        return {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}

    async def scenario() -> None:
        before = ports()
        async with activated(tmp_path, None) as activator:
            assert activator.link == ""
            assert (tmp_path / SOCKET_NAME).is_socket()
            assert (tmp_path / SOCKET_NAME).stat().st_mode & 0o777 == 0o600
            assert ports() == before
        assert not (tmp_path / SOCKET_NAME).exists()

    play(scenario)


def test_a_taken_port_is_told_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with activated(tmp_path) as first:
            (tmp_path / "b").mkdir()
            taken = port_of(first)[1]
            async with activated(tmp_path / "b", taken) as second:
                assert port_of(second)[1] != taken
                assert f"(port {taken} is taken)" in caplog.text
                assert caplog.text.count(second.link) == 1

    with caplog.at_level(logging.INFO, "nbcluster.dashboard"):
        play(scenario)


def test_the_link_has_the_prefix(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with activated(tmp_path, prefix="foo/") as activator:
            assert activator.link.endswith("/foo/status")

    play(scenario)


def test_several_addresses_are_all_listened_at_and_the_first_is_the_link(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with activated(tmp_path, [":0", ":0"], program=ONCE) as activator:
            assert len(activator._ports) == 2
            assert port_of(activator)[1] == activator._ports[0].getsockname()[1]

    play(scenario)


def test_an_open_interface_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with activated(tmp_path, "0.0.0.0:0") as activator:
            assert activator.link.startswith("http://127.0.0.1:")
            assert "Everybody who can reach" in caplog.text

    play(scenario)


def test_an_impossible_address_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(ClusterError, match="cannot listen"):
            async with activated(tmp_path, [":0", "192.0.2.7:1"]):
                raise AssertionError("it cannot have started")
        assert not (tmp_path / SOCKET_NAME).exists()

    play(scenario)


def test_a_process_that_crashes_turns_its_visitors_away_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with activated(tmp_path, program="import sys; sys.exit('no Bokeh here')") as activator:
            reply = await request(port_of(activator), "/")
            assert reply.status == 503
            assert "could not be started" in reply.text
            assert "Bokeh" not in reply.text

    play(scenario)
    assert "no Bokeh here" in caplog.text


def test_a_program_that_is_not_there_turns_visitors_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "PAUSE", 0.01)

    async def scenario() -> None:
        async with activated(tmp_path, command=("/no/such/program",)) as activator:
            for _ in range(2):
                assert (await request(port_of(activator), "/")).status == 503

    play(scenario)


def test_a_process_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "ENDING", 0.1)
    program = "import signal, sys, time\nsys.stderr.write('up')\nsys.stderr.flush()\nwhile True: time.sleep(1000)"

    async def scenario() -> None:
        before = set(children())
        async with activated(tmp_path, program=program) as activator:
            visit = asyncio.ensure_future(request(port_of(activator), "/"))
            await soon(lambda: set(children()) - before)
        visit.cancel()

    play(scenario)


def test_the_token_is_neither_in_arguments_nor_in_the_environment(tmp_path: Path) -> None:
    program = "import sys; sys.stdin.buffer.read()"

    async def scenario() -> None:
        before = set(children())
        async with activated(tmp_path, program=program, token=b"canary" * 6) as activator:
            visit = asyncio.ensure_future(request(port_of(activator), "/"))
            (process,) = await soon(lambda: set(children()) - before)
            assert "canary" not in str(process.cmdline())
            assert "canary" not in str(process.environ())
        visit.cancel()
        assert "canary" not in repr(vars(activator)["_cluster_address"])

    play(scenario)


def test_modules_beside_the_users_program_do_not_stand_in_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "tornado.py").write_text("raise SystemExit('this is not the real one')")
    (tmp_path / "cluster").mkdir()
    monkeypatch.chdir(tmp_path / "user")

    async def scenario() -> None:
        async with (
            FakeCluster() as cluster,
            activated(tmp_path / "cluster", cluster_address=cluster.address) as activator,
        ):
            assert (await request(port_of(activator), "/health")).text == "ok"

    play(scenario)


# --- the real process ---


def test_the_first_visit_is_answered_by_the_real_dashboard(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            FakeCluster() as cluster,
            activated(tmp_path, cluster_address=cluster.address, prefix="/foo") as activator,
        ):
            reply = await request(port_of(activator), "/foo/status")
            assert reply.status == 200
            assert session_token(reply.text)
            assert (await request(activator.socket_path, "/health")).text == "ok"
            assert cluster.links >= 1
        await soon(lambda: cluster.links == 0)

    play(scenario)


def test_it_ends_when_nobody_looks_and_starts_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        before = set(children())
        async with (
            FakeCluster() as cluster,
            activated(tmp_path, cluster_address=cluster.address, idle_timeout=0.2) as activator,
        ):
            for _ in range(2):
                assert (await request(port_of(activator), "/health")).text == "ok"
                await soon(lambda: not set(children()) - before)

    play(scenario)


def test_it_ends_with_its_cluster(tmp_path: Path) -> None:
    async def scenario() -> None:
        before = set(children())
        async with FakeCluster() as cluster, activated(tmp_path, cluster_address=cluster.address) as activator:
            await request(port_of(activator), "/health")
            await cluster.drop_links()
            await soon(lambda: not set(children()) - before)

    play(scenario)


def test_it_ends_with_the_process_of_its_cluster(tmp_path: Path) -> None:
    """The cluster's process is killed, while the fake cluster that the dashboard talks to lives on here."""
    program = f"""
import asyncio, sys
from pathlib import Path
from nbcluster.dashboard.activation import DashboardActivator
async def main():
    activator = DashboardActivator(":0", Path({str(tmp_path)!r}), cluster_address=sys.argv[1], token={TOKEN!r})
    await activator.start()
    print(activator.link, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

    async def scenario() -> None:
        async with FakeCluster() as cluster:
            owner = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, cluster.address, stdout=asyncio.subprocess.PIPE
            )
            assert owner.stdout is not None
            link = urlsplit((await owner.stdout.readline()).decode())
            assert link.hostname
            assert link.port
            await request((link.hostname, link.port), "/health")
            (dashboard,) = psutil.Process(owner.pid).children()
            os.kill(owner.pid, signal.SIGKILL)
            await owner.wait()
            await soon(lambda: not dashboard.is_running() or dashboard.status() == psutil.STATUS_ZOMBIE)
            await soon(lambda: cluster.links == 0)

    play(scenario)


@pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root can ask as somebody else; only Linux tells"
)
def test_another_user_of_the_machine_gets_nothing(tmp_path: Path) -> None:
    program = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1]).status)
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""

    async def scenario() -> None:
        async with FakeCluster() as cluster, activated(tmp_path, cluster_address=cluster.address) as activator:
            asker = await asyncio.create_subprocess_exec(
                "python3", "-c", program, activator.link, user=65534, cwd="/", stdout=asyncio.subprocess.PIPE
            )
            said, _ = await asker.communicate()
            assert said.decode().startswith("403 403: This dashboard belongs to another user")
            assert (await request(port_of(activator), "/status")).status == 200

    play(scenario)
