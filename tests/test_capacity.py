from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from nbcluster.capacity import LOOK_AGAIN, Shortage, cpu_count, cpus, left_memory, limiting_memory, memory

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
    granted = memory({}, groups, own)
    assert granted.value == psutil.virtual_memory().total
    assert granted.reason == "the machine's memory"
    assert cpus({}, groups, own).value <= (os.cpu_count() or 1)


def test_the_control_group_counts_on_every_level(groups: Path, own: Path) -> None:
    (groups / "user" / "session" / "memory.max").write_text(f"{2 * GIB}\n")
    (groups / "user" / "memory.max").write_text(f"{GIB}\n")
    (groups / "user" / "session" / "cpu.max").write_text("50000 100000\n")
    for figure, value in ((memory({}, groups, own), GIB), (cpus({}, groups, own), 0.5)):
        assert figure.value == value
        assert "control group" in figure.reason


def test_the_first_version_of_control_groups_counts_too(groups: Path, own: Path) -> None:
    own.write_text("4:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/\n")
    for tree in ("memory", "cpu,cpuacct"):
        (groups / tree / "box").mkdir(parents=True)
    (groups / "memory" / "box" / "memory.limit_in_bytes").write_text(str(GIB))
    (groups / "cpu,cpuacct" / "box" / "cpu.cfs_quota_us").write_text("50000")
    (groups / "cpu,cpuacct" / "box" / "cpu.cfs_period_us").write_text("100000")
    assert (memory({}, groups, own).value, cpus({}, groups, own).value) == (GIB, 0.5)


def test_no_quota_is_no_limit(groups: Path, own: Path) -> None:
    own.write_text("3:cpu,cpuacct:/\n")
    (groups / "cpu,cpuacct").mkdir()
    (groups / "cpu,cpuacct" / "cpu.cfs_quota_us").write_text("-1")
    (groups / "cpu,cpuacct" / "cpu.cfs_period_us").write_text("100000")
    assert cpus({}, groups, own).value >= 1


def test_what_spawners_say_counts_and_is_named(tmp_path: Path) -> None:
    environment = {"MEM_LIMIT": str(GIB), "CPU_LIMIT": "0.5"}
    granted = memory(environment, tmp_path, tmp_path / "none")
    assert (granted.value, granted.reason) == (GIB, f"MEM_LIMIT is {GIB}")
    processors = cpus(environment, tmp_path, tmp_path / "none")
    assert (processors.value, processors.reason) == (0.5, "CPU_LIMIT is 0.5")


@pytest.mark.parametrize("text", ["", "0", "-5", "lots", "nan", "inf"])
def test_what_is_no_limit_is_ignored(text: str, tmp_path: Path) -> None:
    granted = memory({"MEM_LIMIT": text}, tmp_path, tmp_path / "none")
    assert granted.value == psutil.virtual_memory().total


def test_there_is_always_one_cpu_to_plan_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPU_LIMIT", "0.1")
    assert cpu_count() == 1


def test_what_is_left_is_what_machine_and_control_groups_have_left(groups: Path, own: Path) -> None:
    machine = psutil.virtual_memory().available
    assert left_memory(limiting_memory(groups, own)) == pytest.approx(machine, rel=0.2)
    (groups / "user" / "memory.max").write_text("max\n")
    folders = limiting_memory(groups, own)
    assert folders == [groups / "user"]
    (groups / "user" / "memory.current").write_text("5\n")
    assert left_memory(folders) == pytest.approx(machine, rel=0.2)
    (groups / "user" / "memory.max").write_text("1000\n")
    (groups / "user" / "memory.current").write_text("900\n")
    assert left_memory(folders) == 100
    (groups / "user" / "memory.stat").write_text("anon 700\ninactive_file 120\nactive_file 30\nshmem 50\n")
    assert left_memory(folders) == 250


def test_the_machine_is_short_when_little_of_its_memory_is_left_and_is_not_asked_too_often() -> None:
    left, now = [0.2 * memory().value], [0.0]
    short = Shortage(0.1, lambda: left[0], lambda: now[0])
    assert not short()
    left[0] /= 4
    assert not short(), "it was asked just now"
    now[0] += LOOK_AGAIN
    assert short()
