from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nbcluster import process_memory
from nbcluster.process_memory import own_resident, resident, used

LARGE = 64 << 20
SLACK = 8 << 20


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_what_a_process_takes_is_seen_at_the_next_look() -> None:
    before = own_resident()
    taken = bytes(bytearray(b"x" * 4096) * (LARGE // 4096))
    assert LARGE - SLACK < own_resident() - before < 2 * LARGE + SLACK
    assert abs(own_resident() - resident(os.getpid())) < SLACK
    assert used(os.getpid()) > LARGE
    del taken


def test_who_looks_again_and_again_opens_one_file() -> None:
    own_resident()
    files = open_files()
    for _ in range(5):
        own_resident()
    assert open_files() == files


def test_a_fork_tells_its_own_memory() -> None:
    own_resident()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = own_resident()
            taken = bytearray(b"x" * LARGE)
            os.write(writing, b"%d %d" % (own_resident() - before, len(taken)))
        finally:
            os._exit(0)
    os.close(writing)
    told = os.read(reading, 100).split()
    os.close(reading)
    os.waitpid(child, 0)
    assert told, "the child could not tell"
    assert LARGE - SLACK < int(told[0]) < 2 * LARGE + SLACK


def test_without_proc_a_process_tells_nothing_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str, flags: int) -> int:
        raise FileNotFoundError(path)

    process_memory._own_statm.cache_clear()
    monkeypatch.setattr("os.open", fail)
    assert own_resident() == 0


def test_a_process_that_is_gone_uses_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert resident(process.pid) == used(process.pid) == 0


def test_the_memory_of_another_process_can_be_told() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    assert resident(process.pid) >= used(process.pid) > 1 << 20
    process.communicate(b"\n")
    assert resident(process.pid) == 0
