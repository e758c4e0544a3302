"""Ctrl-C, row 18 of the table of faults: afterwards the client is usable, and workers were not hit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals to groups of processes")


def interrupted(count: int, seed: int) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.support.interrupted_script", str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "usable\n", "")


def test_a_client_is_usable_after_interrupts_at_random_instants() -> None:
    interrupted(100, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_client_is_usable_after_a_thousand_interrupts(seed: int) -> None:
    interrupted(1000, seed)


IN_A_TERMINAL = """
import os, time
from nbcluster import Client, LocalCluster

with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
    pids = sorted(worker.pid for worker in cluster.workers.values())
    try:
        hanging = client.submit(time.sleep, 3600)
        other = client.submit(os.getpid)
        other.result()
        print("waiting", flush=True)
        hanging.result()
    except KeyboardInterrupt:
        print("interrupted", hanging.status, flush=True)
    assert client.submit(os.getpid, pure=False).result(timeout=20) in pids
    assert sorted(worker.pid for worker in cluster.workers.values()) == pids
    print("usable", flush=True)
"""


def test_an_interrupt_of_the_whole_group_as_by_a_terminal_hits_the_script_alone() -> None:
    script = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", IN_A_TERMINAL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert script.stdout is not None
    assert script.stdout.readline() == "waiting\n"
    os.killpg(script.pid, signal.SIGINT)
    said, errors = script.communicate(timeout=60)
    assert (script.returncode, said, errors) == (0, "interrupted pending\nusable\n", "")
