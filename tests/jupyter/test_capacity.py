from __future__ import annotations

import pytest

from nbcluster.jupyter.capacity import measure

GIB = 2**30


def test_what_the_machine_grants_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPU_LIMIT", "1.5")
    monkeypatch.setenv("MEM_LIMIT", str(GIB))
    capacity = measure()
    assert (capacity.memory.value, capacity.memory.reason) == (GIB, f"MEM_LIMIT is {GIB}")
    assert capacity.workers.value == 6
    assert capacity.workers.reason == f"4 workers per CPU; {capacity.cpus.reason}"


def test_the_administrator_has_the_last_word_downwards_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPU_LIMIT", "2")
    capacity = measure(max_workers=1, max_memory=GIB)
    assert (capacity.workers.value, capacity.memory.value) == (1, GIB)
    assert capacity.memory.reason == "the administrator's limit, ClusterManager.max_memory"
    capacity = measure(max_workers=10**6, max_memory=2**60)
    assert capacity.workers.value <= 8
    assert "administrator" not in capacity.memory.reason
