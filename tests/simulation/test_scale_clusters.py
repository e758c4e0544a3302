"""Clusters of hundreds of workers under virtual time: what they cost the scheduler, and how busy they are kept."""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys

import pytest

from tests.simulation.scale.cluster import Figures, Scenario, simulate
from tests.simulation.scale.network import NetworkModel
from tests.simulation.scale.results import ideal_of
from tests.simulation.scale.workloads import WORKLOADS, reduction, shuffle


@functools.cache
def figures(workload: str, workers: int) -> Figures:
    return simulate(Scenario(workload, workers, 40 * workers, checked=True))


@pytest.mark.parametrize("workload", WORKLOADS)
def test_work_per_task_is_the_same_for_twenty_and_for_four_hundred_workers(workload: str) -> None:
    small, large = figures(workload, 20), figures(workload, 400)
    assert large.events_per_task <= 1.1 * small.events_per_task
    assert large.work_per_task <= 1.15 * small.work_per_task


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("workers", [10, 200])
def test_threads_are_hardly_ever_idle_while_tasks_wait(workload: str, workers: int) -> None:
    assert figures(workload, workers).idle < 0.05


@pytest.mark.parametrize("workload", ["map", "reduction", "shuffle", "skewed", "shared", "uneven", "resources"])
def test_it_takes_hardly_longer_than_at_best(workload: str) -> None:
    result = figures(workload, 200)
    assert result.makespan / ideal_of(result) < 1.05


@pytest.mark.parametrize("workload", WORKLOADS)
def test_all_tasks_are_done_and_nothing_is_kept(workload: str) -> None:
    result = figures(workload, 200)  # or it would have raised
    assert result.tasks == len(list(WORKLOADS[workload].stream(8000, 0.01, random.Random(3))))


def test_streaming_keeps_few_tasks_known() -> None:
    result = simulate(Scenario("map", 10, 2000, window=16))
    assert result.most_known <= 2 * 160


def test_workers_with_several_threads_are_kept_busy_too() -> None:
    result = simulate(Scenario("skewed", 20, 2000, threads=4, checked=True))
    assert result.idle < 0.05


def test_lost_data_is_computed_again() -> None:
    scenario = Scenario("churn", 50, 2000, checked=True)
    result = simulate(scenario)
    nominal = sum(task.duration for task in reduction(2000, 0.01, random.Random(scenario.stream_seed)))
    assert any(life.crashed for life in result.lives)
    assert result.work > nominal


def test_links_between_workers_may_break() -> None:
    scenario = Scenario("shuffle", 20, 800, network=NetworkModel(breaks=0.05), checked=True)
    result = simulate(scenario)
    assert result.tasks == 800
    assert result.work > sum(task.duration for task in shuffle(800, 0.01, random.Random(scenario.stream_seed)))


# --- determinism ---

TRACED = Scenario("churn", 20, 600, traced=True)


def test_the_same_seed_gives_the_same_trace() -> None:
    first = simulate(TRACED).trace
    elsewhere = [bytearray(100 + index % 900) for index in range(2000)]  # objects get other addresses
    assert simulate(TRACED).trace == first != ""
    del elsewhere


def test_another_seed_gives_another_trace() -> None:
    assert simulate(TRACED).trace != simulate(TRACED._replace(seed=2)).trace


@pytest.mark.parametrize("workload", ["churn", "shuffle", "resources"])
def test_the_trace_is_the_same_in_a_process_with_other_hashes(workload: str) -> None:
    program = (
        "from tests.simulation.scale.cluster import Scenario, simulate;"
        f"print(simulate(Scenario({workload!r}, 12, 400, traced=True)).trace)"
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
        ).stdout
        for hash_seed in "12"
    }
    assert len(traces) == 1
