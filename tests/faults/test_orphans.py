"""Nobody is orphaned: row 15 of the table of faults, and the end of a script in every way that there is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nbcluster import Client, SubprocessCluster
from nbcluster.errors import NbclusterError
from tests.support.eventually import eventually
from tests.support.marked import Mark
from tests.support.tasks import square_slowly

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SCRIPT = """
import ctypes, os, subprocess, sys, time
from nbcluster import Client, LocalCluster, SubprocessCluster

def leave_grandchildren():
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600"], start_new_session=True)

def hold_the_gil():
    ctypes.PyDLL(None).sleep(600)

cluster = {cluster}(n_workers=2, threads_per_worker=1, dashboard_address=None)
client = Client(cluster)
client.submit(leave_grandchildren).result()
busy = client.submit(hold_the_gil)
time.sleep(0.1)
print("ready", flush=True)
{end}
"""

WAIT = "time.sleep(600)"
ENDS = {
    "killed": (WAIT, signal.SIGKILL),
    "terminated": (WAIT, signal.SIGTERM),
    "interrupted": (WAIT, signal.SIGINT),
    "at its end": ("", None),
    "exit without cleaning up": ("os._exit(0)", None),
    "an exception": ("raise SystemExit(3)", None),
    "busy": ("hold_the_gil()", signal.SIGKILL),
}


@pytest.fixture
def mark() -> Iterator[Mark]:
    mark = Mark()
    yield mark
    for pid in mark.processes():
        os.kill(pid, signal.SIGKILL)


@contextmanager
def running(mark: Mark, cluster: str, end: str) -> Iterator[subprocess.Popen[str]]:
    script = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT).format(cluster=cluster, end=end)],
        env={**os.environ, **mark.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert script.stdout is not None
        assert script.stdout.readline() == "ready\n"
        yield script
    finally:
        script.kill()
        script.communicate()


@pytest.mark.parametrize("cluster", ["LocalCluster", "SubprocessCluster"])
@pytest.mark.parametrize("how", list(ENDS))
def test_nothing_outlives_a_script(mark: Mark, cluster: str, how: str) -> None:
    end, number = ENDS[how]
    with running(mark, cluster, end) as script:
        if number is not None:
            assert len(mark.processes()) >= 8
            script.send_signal(number)
        script.wait(timeout=30)
    eventually(lambda: not mark.processes(), "the end of all", timeout=5)


@pytest.mark.parametrize("cluster", ["LocalCluster", "SubprocessCluster"])
def test_a_fork_that_outlives_a_script_keeps_nothing_else_alive(mark: Mark, cluster: str) -> None:
    """It has every descriptor of the script, those too whose end is a sign of the script's end."""
    with running(mark, cluster, "os.write(1, b'%d\\n' % os.fork()); os.close(1)\n" + WAIT) as script:
        assert script.stdout is not None
        fork = max(int(script.stdout.readline()), int(script.stdout.readline()))
    eventually(lambda: list(mark.processes()) == [fork], "the end of all but the fork", timeout=5)


def test_a_scheduler_that_is_killed_takes_its_workers_along_and_futures_fail_loudly(
    mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in mark.environment.items():
        monkeypatch.setenv(name, value)
    with SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        client = Client(cluster)
        futures = client.map(square_slowly, range(10_000))
        scheduler = next(pid for pid, line in mark.processes().items() if "cluster.process" in line)
        os.kill(scheduler, signal.SIGKILL)
        with pytest.raises((NbclusterError, OSError)) as caught:
            client.gather(futures)
        assert str(caught.value)
        eventually(lambda: not mark.processes(), "the end of all", timeout=5)
        client.close()


def test_a_zygote_that_is_killed_is_replaced_and_nothing_is_lost() -> None:
    with (
        SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        workers = {worker.pid for worker in cluster.workers.values()}
        zygote = client.submit(os.getppid).result()
        futures = client.map(square_slowly, range(200))
        os.kill(zygote, signal.SIGKILL)
        assert client.gather(futures) == [x * x for x in range(200)]
        assert client.submit(os.getppid, pure=False).result() != zygote
        assert not workers & {worker.pid for worker in cluster.workers.values()}
