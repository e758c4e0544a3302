"""Ctrl-C, row 18 of the table of faults: afterwards the client is usable, and workers were not hit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals to groups of processes")


def interrupted(count: int, seed: int, kind: str) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.support.interrupted_script", str(count), str(seed), kind]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "usable\n", "")


kinds = pytest.mark.parametrize("kind", ["LocalCluster", "SubprocessCluster"])


@kinds
def test_a_client_is_usable_after_interrupts_at_random_instants(kind: str) -> None:
    interrupted(100, 0, kind)


@pytest.mark.slow
@pytest.mark.timeout(600)
@kinds
@pytest.mark.parametrize("seed", [1, 2])
def test_a_client_is_usable_after_a_thousand_interrupts(seed: int, kind: str) -> None:
    interrupted(1000, seed, kind)


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


WAITING = """
import signal
from nbcluster import Client, Event, LocalCluster, Lock, MultiLock, Queue, Semaphore, Variable

def interrupted(wait):
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        wait()
    except KeyboardInterrupt:
        return
    raise AssertionError(f"{wait} came to an end by itself")

def locks(client):
    return Lock("x", client=client), Semaphore(1, "y", client=client), MultiLock(["a", "b"], client=client)

signal.signal(signal.SIGALRM, signal.default_int_handler)
with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
    with Client(cluster, set_as_default=False) as other:
        held, waiting = locks(other), locks(client)
        assert all(lock.acquire() for lock in held)
        for lock in waiting:
            interrupted(lock.acquire)
        for lock in held:
            lock.release()
        assert all(lock.acquire(timeout=20) for lock in locks(other)), "nobody got what nobody waited for any more"
    queue, event, variable = Queue("x", maxsize=1), Event("x"), Variable("x")
    interrupted(queue.get)
    queue.put("kept")
    interrupted(lambda: queue.put("never there"))
    assert queue.get(timeout=20) == "kept"
    assert queue.qsize() == 0
    interrupted(event.wait)
    event.set()
    assert event.wait(timeout=20)
    interrupted(variable.get)
    variable.set(5)
    assert variable.get(timeout=20) == 5
    print("usable", flush=True)
"""


def test_who_waits_for_locks_and_items_can_be_interrupted_and_takes_nothing_along() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", WAITING], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "usable\n", "")
