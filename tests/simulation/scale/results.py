"""What a table says of one simulated scenario."""

from __future__ import annotations

import random
from typing import NamedTuple

from tests.simulation.scale.cluster import Figures, Scenario, simulate
from tests.simulation.scale.ideal import ideal_makespan
from tests.simulation.scale.workloads import WORKLOADS


class Result(NamedTuple):
    """One cell of every table; times in seconds, shares as fractions."""

    workload: str
    workers: int
    tasks: int
    events_per_task: float
    work_per_task: float
    """Events handled and candidates examined."""
    idle: float
    """Thread-seconds idle while a task waited, per thread-second of work."""
    over: float
    """By what part it took longer than the ideal."""
    makespan: float
    cpu_per_task: float
    most_known: int
    wall: float


def measure(scenario: Scenario) -> Result:
    """Simulate, and compare with the ideal."""
    figures = simulate(scenario)
    return Result(
        scenario.workload,
        scenario.workers,
        figures.tasks,
        figures.events_per_task,
        figures.work_per_task,
        figures.idle,
        figures.makespan / ideal_of(figures) - 1,
        figures.makespan,
        figures.cpu_per_task,
        figures.most_known,
        figures.wall,
    )


def ideal_of(figures: Figures) -> float:
    """The makespan that a scheduler could have had that knows everything in advance."""
    scenario = figures.scenario
    stream = WORKLOADS[scenario.workload].stream(scenario.tasks, scenario.shortest, random.Random(scenario.stream_seed))
    return ideal_makespan(stream, figures.lives, scenario.threads, scenario.network.round_trip)
