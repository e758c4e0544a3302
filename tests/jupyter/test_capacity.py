from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from nbcluster.jupyter.capacity import measure

GIB = 2**30


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own"
    file.write_text("0::/user/session\n")
    return file


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup"
    (folder / "user" / "session").mkdir(parents=True)
    return folder


def test_without_limits_it_is_the_machine(groups: Path, own: Path) -> None:
    (groups / "user" / "cpu.max").write_text("max 100000\n")
    (groups / "user" / "memory.max").write_text("max\n")
    capacity = measure(environment={}, cgroups=groups, own_cgroup=own)
    assert capacity.memory.value == psutil.virtual_memory().total
    assert capacity.memory.reason == "the machine's memory"
    assert capacity.cpus.value <= (os.cpu_count() or 1)
    assert capacity.workers.value == max(1, int(capacity.cpus.value))


def test_the_control_group_counts_on_every_level(groups: Path, own: Path) -> None:
    (groups / "user" / "session" / "memory.max").write_text(f"{2 * GIB}\n")
    (groups / "user" / "memory.max").write_text(f"{GIB}\n")
    (groups / "user" / "session" / "cpu.max").write_text("50000 100000\n")
    capacity = measure(environment={}, cgroups=groups, own_cgroup=own)
    assert (capacity.memory.value, capacity.cpus.value) == (GIB, 0.5)
    assert "control group" in capacity.memory.reason
    assert "control group" in capacity.cpus.reason
    assert capacity.workers.value == 1


def test_the_first_version_of_control_groups_counts_too(groups: Path, own: Path) -> None:
    own.write_text("4:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/\n")
    for tree in ("memory", "cpu,cpuacct"):
        (groups / tree / "box").mkdir(parents=True)
    (groups / "memory" / "box" / "memory.limit_in_bytes").write_text(str(GIB))
    (groups / "cpu,cpuacct" / "box" / "cpu.cfs_quota_us").write_text("50000")
    (groups / "cpu,cpuacct" / "box" / "cpu.cfs_period_us").write_text("100000")
    capacity = measure(environment={}, cgroups=groups, own_cgroup=own)
    assert (capacity.memory.value, capacity.cpus.value) == (GIB, 0.5)


def test_no_quota_is_no_limit(groups: Path, own: Path) -> None:
    own.write_text("3:cpu,cpuacct:/\n")
    (groups / "cpu,cpuacct").mkdir()
    (groups / "cpu,cpuacct" / "cpu.cfs_quota_us").write_text("-1")
    (groups / "cpu,cpuacct" / "cpu.cfs_period_us").write_text("100000")
    assert measure(environment={}, cgroups=groups, own_cgroup=own).cpus.value >= 1


def test_what_spawners_say_counts_and_is_named(tmp_path: Path) -> None:
    environment = {"MEM_LIMIT": str(GIB), "CPU_LIMIT": "1.0"}
    capacity = measure(environment=environment, cgroups=tmp_path, own_cgroup=tmp_path / "none")
    assert (capacity.memory.value, capacity.cpus.value) == (GIB, 1)
    assert capacity.memory.reason == f"MEM_LIMIT is {GIB}"
    assert capacity.workers.reason.startswith("one worker per CPU")


@pytest.mark.parametrize("text", ["", "0", "-5", "lots", "nan", "inf"])
def test_what_is_no_limit_is_ignored(text: str, tmp_path: Path) -> None:
    capacity = measure(environment={"MEM_LIMIT": text}, cgroups=tmp_path, own_cgroup=tmp_path / "none")
    assert capacity.memory.value == psutil.virtual_memory().total


def test_the_administrator_has_the_last_word_downwards_only(tmp_path: Path) -> None:
    def limited(max_workers: int, max_memory: int) -> tuple[float, float]:
        capacity = measure(max_workers, max_memory, {"CPU_LIMIT": "2"}, tmp_path, tmp_path / "none")
        return capacity.workers.value, capacity.memory.value

    assert limited(1, GIB) == (1, GIB)
    assert limited(10**6, 2**60)[0] <= 2
