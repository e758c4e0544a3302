"""Measures of what a worker writes, copies and gets: each size is tried at least once, however short the time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from nbcluster import bandwidth


def test_files_are_written_where_the_worker_keeps_its_own_and_are_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bandwidth, "DISK_SIZES", {"1 kiB": 1024, "2 kiB": 2048})
    measured = bandwidth.measure_disk(0, dask_worker=SimpleNamespace(local_directory=str(tmp_path)))
    assert list(measured) == ["1 kiB", "2 kiB"]
    assert all(rate > 0 for rate in measured.values())
    assert list(tmp_path.iterdir()) == []


def test_memory_is_copied_in_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "MEMORY_SIZES", {"2 kiB": 2048})
    assert bandwidth.measure_memory(0)["2 kiB"] > 0


def test_data_is_fetched_from_its_holder_once_for_each_size() -> None:
    asked: list[tuple[str, str]] = []

    class Worker:
        async def fetch(self, holder: str, key: str) -> bytes:
            asked.append((holder, key))
            return bytes(2 * bandwidth.MIB if key == "large" else 10)

    measured = asyncio.run(
        bandwidth.measure_network("tcp://other", {"1 kiB": "small", "2 MiB": "large"}, 0, dask_worker=Worker())
    )
    assert asked == [("tcp://other", "small"), ("tcp://other", "large")]
    assert all(rate > 0 for rate in measured.values())


def test_several_workers_count_alike() -> None:
    assert bandwidth.mean([{"1 kiB": 1.0}, {"1 kiB": 3.0}]) == {"1 kiB": 2.0}
    assert bandwidth.mean([]) == {}
