"""Locks, queues and datasets when workers and clients die: what was held is free, what was kept is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nbcluster import Client, Event, LocalCluster, Lock, MultiLock, Queue, Semaphore, Variable
from tests.contracts.gates import Gate
from tests.support.kill import kill

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes")


def hold(lock: Any, gate: Gate) -> int:
    with lock:
        gate.pass_through()
    return os.getpid()


def locks() -> list[Any]:
    return [Lock("x"), Semaphore(1, "y"), MultiLock(["a", "b"])]


@pytest.mark.parametrize("number", range(3), ids=["lock", "semaphore", "several"])
def test_a_worker_that_dies_frees_what_its_tasks_hold(
    cluster: LocalCluster, client: Client, tmp_path: Path, number: int
) -> None:
    gate = Gate(tmp_path / "gate")
    future = client.submit(hold, locks()[number], gate, workers=[0])
    gate.wait_for_visitors()
    assert not locks()[number].acquire(timeout=0)
    kill(cluster.workers[0].pid)
    mine = locks()[number]
    assert mine.acquire(timeout=20)
    mine.release()
    gate.open()
    future.result(timeout=20)  # it has run again, and had to have the lock


SCRIPT = """
import sys
from nbcluster import Client, Event, Lock, MultiLock, Queue, Semaphore, Variable

client = Client(sys.argv[1])
print("connected", flush=True)
{0}
"""


@contextmanager
def another_client(cluster: LocalCluster, does: str) -> Iterator[subprocess.Popen[str]]:
    """A client in a process of its own, as of a notebook; it is killed at the end."""
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(does), cluster.scheduler_address], stdout=subprocess.PIPE, text=True
    )
    try:
        assert script.stdout is not None
        assert script.stdout.readline() == "connected\n"
        yield script
    finally:
        script.send_signal(signal.SIGKILL)
        script.communicate()


WAITS = """
import threading
for wait in (Lock("x").acquire, Semaphore(1, "y").acquire, MultiLock(["b", "c"]).acquire, Queue("x").get):
    threading.Thread(target=wait).start()
Event("waits").set()
"""


def test_a_client_that_is_killed_while_it_waits_does_not_keep_its_place(cluster: LocalCluster, client: Client) -> None:
    held, queue = locks(), Queue("x")
    assert all(lock.acquire() for lock in held)
    with another_client(cluster, WAITS):
        assert Event("waits").wait(20)
    for lock in held:
        lock.release()
    queue.put("kept")
    again: list[Any] = [Lock("x"), Semaphore(1, "y"), MultiLock(["a", "b", "c"])]
    assert all(lock.acquire(timeout=20) for lock in again)
    assert queue.get(timeout=20) == "kept"


KEEPS = """
future = client.submit(sum, [1, 2])
client.publish_dataset(future=future, plain=[1])
client.set_metadata("x", 1)
Queue("x").put(future)
Variable("x").set(future)
lock = Lock("x")
lock.acquire()
Event("done").set()
lock.acquire()
"""


def test_what_a_kernel_that_is_killed_has_published_is_there_for_the_next(
    cluster: LocalCluster, client: Client
) -> None:
    with another_client(cluster, KEEPS):
        assert Event("done").wait(20)
        assert Lock("x").acquire(timeout=0) is False
    assert Lock("x").acquire(timeout=20)
    assert sorted(client.list_datasets()) == ["future", "plain"]
    assert client.get_dataset("future").result(timeout=20) == 3
    assert client.get_dataset("plain") == [1]
    assert client.get_metadata("x") == 1
    assert Queue("x").get(timeout=20).result(timeout=20) == 3
    assert Variable("x").get(timeout=20).result(timeout=20) == 3
