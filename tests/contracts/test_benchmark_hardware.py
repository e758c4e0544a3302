from __future__ import annotations

from typing import Any

import pytest

from nbcluster.client import benchmarking
from tests.contracts.gates import Gate, at_gate
from tests.support.eventually import eventually

SIZES = {
    "disk": ["1 kiB", "100 kiB", "1 MiB", "10 MiB", "100 MiB"],
    "memory": ["2 kiB", "10 kiB", "100 kiB", "1 MiB", "10 MiB"],
    "network": ["1 kiB", "10 kiB", "100 kiB", "1 MiB", "10 MiB", "50 MiB"],
}


@pytest.fixture(autouse=True)
def little_time(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size is measured once, and for no longer."""
    if api.__name__ == "distributed":
        from distributed import worker

        for name in ("benchmark_disk", "benchmark_memory", "benchmark_network"):
            function = getattr(worker, name)
            monkeypatch.setattr(function, "__defaults__", (*function.__defaults__[:-1], "1 ms"))
    else:
        for name in ("DISK_SECONDS", "MEMORY_SECONDS", "NETWORK_SECONDS"):
            monkeypatch.setattr(benchmarking, name, 0.001)


def test_it_tells_bytes_per_second_by_size(client: Any) -> None:
    found = client.benchmark_hardware()
    assert {what: list(bandwidths) for what, bandwidths in found.items()} == SIZES
    assert all(bandwidth > 0 for bandwidths in found.values() for bandwidth in bandwidths.values())
    eventually(lambda: not any(client.has_what().values()), "what was fetched is let go of")


@pytest.mark.differs("measured beside tasks")
def test_it_is_measured_whatever_the_tasks_do(api: Any, keywords: Any, gate: Gate) -> None:
    with api.Client(**keywords(n_workers=1)) as client:
        future = client.submit(at_gate, gate, "done")
        gate.wait_for_visitors()
        found = client.benchmark_hardware()
        gate.open()
        assert future.result() == "done"
    assert list(found["memory"]) == SIZES["memory"]
    assert found["network"] == {}, "one worker alone has no link"
