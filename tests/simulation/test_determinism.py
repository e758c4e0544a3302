"""The same seed, the same trace: what the scheduler says depends on what it was told, and on nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.seeded_run import SeededRun


def trace(seed: int) -> str:
    return SeededRun(seed, calls=30).run(400)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    first = trace(seed)
    elsewhere = [bytearray(100 + index % 900) for index in range(2000)]  # objects get other addresses
    assert trace(seed) == first
    del elsewhere


def test_another_seed_gives_another_trace() -> None:
    assert trace(1) != trace(2)


def test_the_trace_is_the_same_in_a_process_with_other_hashes() -> None:
    traces = set()
    for hash_seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "tests.support.seeded_run", "7"]
        traces.add(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    assert len(traces) == 1


@pytest.mark.parametrize("seed", range(100))
def test_a_gentle_life_loses_nothing(seed: int) -> None:
    SeededRun(seed, calls=20, gentle=True).run(300)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("gentle", [True, False])
def test_thousands_of_lives_end_well(gentle: bool) -> None:
    for seed in range(3000):
        SeededRun(seed, calls=10 + seed % 30, gentle=gentle).run(100 + seed % 500)
