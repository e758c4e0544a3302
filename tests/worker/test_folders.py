from __future__ import annotations

import os
from pathlib import Path

from nbcluster.worker.folders import OwnFolder, own_folders


def test_a_folder_is_there_once_somebody_asks_for_it_until_it_is_removed(tmp_path: Path) -> None:
    folder = OwnFolder(str(tmp_path), "Worker-1234567890")
    assert own_folders(tmp_path, os.getpid()) == []
    (Path(folder.path) / "file").write_text("text")
    assert own_folders(tmp_path, os.getpid()) == [Path(folder.path)]
    assert own_folders(tmp_path, os.getpid() + 1) == []
    folder.remove()
    assert not Path(folder.path).exists()


def test_each_worker_of_a_process_has_its_own(tmp_path: Path) -> None:
    assert OwnFolder(str(tmp_path), "Worker-a").path != OwnFolder(str(tmp_path), "Worker-b").path


def test_where_there_is_no_place_there_is_none() -> None:
    assert OwnFolder("", "Worker-a").path == ""
