"""What a worker does about the memory of its process, as that rises and falls."""

from __future__ import annotations

import os

import pytest

from nbcluster.process_memory import resident
from nbcluster.worker.pressure import LATER, SOON, MemoryPressure, own_memory


class Bench:
    """A worker with a limit of 100 bytes, and what it said."""

    def __init__(self, spill: float | None = 0.7, pause: float | None = 0.8) -> None:
        self.memory = 10
        self.said: list[object] = []
        self.pressure = MemoryPressure(
            100,
            target=0.6,
            spill=spill,
            pause=pause,
            press=self.said.append,
            tell=lambda paused: self.said.append("paused" if paused else "resumed"),
            memory=lambda enough: self.memory,
        )

    def at(self, memory: int) -> list[object]:
        self.memory = memory
        self.said.clear()
        self.pressure.look()
        return list(self.said)


def test_results_are_spilled_from_the_one_share_down_to_the_other() -> None:
    bench = Bench(pause=None)
    assert bench.at(69) == []
    assert bench.at(71) == [11]
    assert bench.at(65) == [5], "not yet below the target"
    assert bench.at(59) == [0]
    assert bench.at(65) == []


def test_a_worker_pauses_above_its_share_and_resumes_below() -> None:
    bench = Bench(spill=None)
    assert bench.at(79) == []
    assert bench.at(81) == ["paused"]
    assert bench.at(90) == []
    assert bench.at(80) == ["resumed"]


def test_it_looks_more_often_when_it_is_close() -> None:
    bench = Bench()
    assert bench.pressure.look() == LATER
    bench.memory = 40
    assert bench.pressure.look() == SOON


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="reads /proc")
def test_the_exact_figure_counts_no_page_in_full_that_is_shared() -> None:
    assert own_memory(float("inf")) > 0
    assert 0 < own_memory(0) <= resident(os.getpid()) * 1.2
