from __future__ import annotations

from nbcluster.worker.metrics import MEMORY_STEP, Metrics


def test_figures_are_told_once_until_they_change() -> None:
    stored, spilled = [0], [0]
    metrics = Metrics(lambda: stored[0], lambda: 2, lambda: spilled[0], process=False)
    first = metrics.changed()
    assert first is not None
    assert (first.memory, first.stored, first.cpu, first.executing) == (0, 0, 0.0, 2)
    assert metrics.changed() is None
    stored[0] = 7
    second = metrics.changed()
    assert second is not None
    assert second.stored == 7
    spilled[0] = 9
    third = metrics.changed()
    assert third is not None
    assert (third.stored, third.spilled) == (7, 9)


def test_a_process_measures_its_memory_in_steps() -> None:
    measured = Metrics(lambda: 0, lambda: 0, lambda: 0, process=True).changed()
    assert measured is not None
    assert measured.memory > MEMORY_STEP
    assert measured.memory % MEMORY_STEP == 0
