from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nbcluster.supervisor.descendants import (
    MARK_VARIABLE,
    Process,
    bears_mark,
    descendants,
    end_all,
    look,
    marked,
    new_mark,
    worker_mark,
)
from tests.supervisor.starters import is_running
from tests.support.eventually import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_look_shows_this_process_and_its_parent() -> None:
    table = look()
    assert table[os.getpid()] == Process(os.getpid(), os.getppid(), os.getsid(0), "R")
    assert os.getppid() in table


def test_descendants_are_found_whatever_their_order() -> None:
    parents = {2: 1, 3: 2, 9: 3, 4: 9, 5: 1, 6: 5}
    table = {pid: Process(pid, parent, 0, "S") for pid, parent in parents.items()}
    assert descendants(table, [2]) == {2, 3, 9, 4}
    assert descendants(table, [5, 77]) == {5, 6}
    assert descendants(table, []) == set()


def test_no_mark_is_the_beginning_of_another() -> None:
    mark = new_mark()
    marks = [worker_mark(mark, i) for i in range(200)]
    assert sum(one.startswith(other) for one in marks for other in marks) == len(marks)
    assert all(one.startswith(mark) for one in marks)


def test_a_program_is_known_by_the_mark_in_its_environment() -> None:
    mark = worker_mark(new_mark(), 1)
    child = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK_VARIABLE: mark})
    try:
        eventually(lambda: bears_mark(child.pid, mark))
        assert not bears_mark(child.pid, worker_mark(new_mark(), 1))
        assert not bears_mark(os.getpid(), mark)
        assert marked(mark)(look()) == [child.pid]
    finally:
        child.kill()
        child.wait()
    assert not bears_mark(child.pid, mark)


FORK_BOMB = """
import os, time
print("up", flush=True)
while True:
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(600)
        time.sleep(0.002)
        os._exit(0)
    os.waitpid(-1, os.WNOHANG)
    time.sleep(0.002)
"""


def test_a_tree_that_keeps_growing_is_ended_whole() -> None:
    """Its orphans go to whoever adopts them: here that is a process between us and the tree."""
    mark = worker_mark(new_mark(), 1)
    adopter = f"""
import subprocess, sys, time
from nbcluster.supervisor.worker_process import adopt_orphans
adopt_orphans()
subprocess.Popen([sys.executable, "-c", {FORK_BOMB!r}])
time.sleep(600)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", adopter], env={**os.environ, MARK_VARIABLE: mark}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    eventually(lambda: len(list(marked(mark)(look()))) > 20)
    ended = end_all(lambda _: [process.pid])
    process.wait()
    process.stdout.close()
    assert len(ended) > 20
    eventually(lambda: not any(is_running(pid) for pid in marked(mark)(look())))


def test_ending_what_is_gone_does_nothing() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert end_all(lambda _: [child.pid]) == set()
