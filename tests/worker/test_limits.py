"""What a worker's configuration means for its memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from nbcluster.store.memory import MemoryStore
from nbcluster.worker.config import WorkerConfig
from nbcluster.worker.limits import make_pressure, make_spiller


def config(directory: Path | None, **options: Any) -> WorkerConfig:
    return WorkerConfig(
        scheduler="unix:///s", name=0, listen="unix:///w", local_directory=str(directory or ""), **options
    )


def consequences(told: WorkerConfig) -> tuple[bool, bool]:
    """Whether results are put away, and whether the process is watched."""

    async def main() -> tuple[bool, bool]:
        spiller = make_spiller(told, MemoryStore(), True, lambda key: None)
        pressure = make_pressure(told, spiller, lambda paused: None)
        if spiller is not None:
            await spiller.close()
        return spiller is not None, pressure is not None

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"memory_limit": None, "memory_spill": 0.7, "memory_pause": 0.8}, (False, False)),
        ({"memory_limit": 1000, "memory_target": None}, (False, False)),
        ({"memory_limit": 1000}, (True, False)),
        ({"memory_limit": 1000, "memory_target": None, "memory_spill": 0.7}, (True, True)),
        ({"memory_limit": 1000, "memory_pause": 0.8}, (True, True)),
        ({"memory_limit": 1000, "memory_target": None, "memory_pause": 0.8}, (False, True)),
    ],
)
def test_each_limit_has_its_consequence_and_without_one_there_is_none(
    tmp_path: Path, options: dict[str, Any], expected: tuple[bool, bool]
) -> None:
    assert consequences(config(tmp_path, **options)) == expected


def test_without_a_place_on_a_disk_nothing_goes_there_and_that_is_no_reason_to_watch() -> None:
    assert consequences(config(None, memory_limit=1000, memory_spill=0.7)) == (False, False)


def test_without_a_place_on_a_disk_it_pauses_all_the_same() -> None:
    assert consequences(config(None, memory_limit=1000, memory_pause=0.8)) == (False, True)
