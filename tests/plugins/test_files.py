"""Uploading files and directories, without a cluster."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbcluster.plugins.files import UploadDirectory, UploadFile, import_file


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Any]:
    path, modules = list(sys.path), set(sys.modules)
    forgotten: list[bool] = []
    yield SimpleNamespace(
        local_directory=str(tmp_path / "own"),
        shared_directory=str(tmp_path / "scratch"),
        forgotten=forgotten,
        forget_functions=lambda: forgotten.append(True),
    )
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("nbc_"):
            del sys.modules[name]


def test_a_module_is_imported_and_functions_are_to_be_unpickled_anew(worker: Any, tmp_path: Path) -> None:
    source = tmp_path / "nbc_unit_module.py"
    source.write_text("x = 1\n")
    UploadFile(source).setup(worker)
    assert sys.modules["nbc_unit_module"].x == 1
    assert worker.forgotten == [True]


def test_a_module_of_the_same_size_and_time_is_loaded_anew(worker: Any, tmp_path: Path) -> None:
    source = tmp_path / "nbc_unit_changing.py"
    for value in range(3):
        source.write_text(f"x = {value}\n")
        UploadFile(source).setup(worker)
        assert sys.modules["nbc_unit_changing"].x == value


def test_a_module_that_the_process_of_the_scheduler_has_of_its_own_is_left_alone(
    worker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "nbc_unit_own.py").write_text("x = 'mine'\n")
    monkeypatch.syspath_prepend(str(own))
    mine = importlib.import_module("nbc_unit_own")
    (tmp_path / "nbc_unit_own.py").write_text("x = 'uploaded'\n")
    UploadFile(tmp_path / "nbc_unit_own.py").start(worker)
    assert sys.modules["nbc_unit_own"] is mine
    assert mine.x == "mine"


def test_where_the_scheduler_runs_an_uploaded_module_is_loaded_anew(worker: Any, tmp_path: Path) -> None:
    source = tmp_path / "nbc_unit_scheduled.py"
    for value in range(3):
        source.write_text(f"x = {value}\n")
        UploadFile(source).start(worker)
        assert sys.modules["nbc_unit_scheduled"].x == value
    assert worker.forgotten == []


def test_what_was_uploaded_to_another_cluster_gives_way(worker: Any, tmp_path: Path) -> None:
    source = tmp_path / "nbc_unit_again.py"
    for value in range(3):
        worker.local_directory = str(tmp_path / f"scratch {value}")  # here it is the scheduler's
        source.write_text(f"x = {value}\n")
        UploadFile(source).start(worker)
        assert sys.modules["nbc_unit_again"].x == value


def test_a_file_that_is_not_to_be_loaded_is_only_there(worker: Any, tmp_path: Path) -> None:
    source = tmp_path / "nbc_unit_data.txt"
    source.write_text("text")
    UploadFile(source).setup(worker)
    assert (Path(worker.local_directory) / "nbc_unit_data.txt").read_text() == "text"
    assert import_file(source) == []
    module = tmp_path / "nbc_unit_unloaded.py"
    module.write_text("1 / 0\n")
    UploadFile(module, load=False).setup(worker)
    assert "nbc_unit_unloaded" not in sys.modules


def test_a_directory_can_be_put_on_the_path(worker: Any, tmp_path: Path) -> None:
    source = tmp_path / "folder"
    source.mkdir()
    (source / "nbc_unit_inside.py").write_text("x = 5\n")
    (source / "skipped.pyc").write_text("")
    UploadDirectory(source, update_path=True).setup(worker)
    assert importlib.import_module("nbc_unit_inside").x == 5
    assert not (Path(worker.shared_directory) / "uploads" / "folder" / "skipped.pyc").exists()


def test_another_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode='nobody' is not allowed"):
        UploadDirectory(tmp_path, mode="nobody")
