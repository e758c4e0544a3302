"""A file that tells where a scheduler is."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbcluster.comm import scheduler_file


def test_what_was_written_is_read_and_no_draft_is_left(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    scheduler_file.write(path, {"address": "tcp://127.0.0.1:1", "workers": {}})
    scheduler_file.write(path, {"address": "tcp://127.0.0.1:2", "workers": {}})
    assert scheduler_file.read(path) == "tcp://127.0.0.1:2"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_there_yet_is_no_error(tmp_path: Path) -> None:
    assert scheduler_file.read(tmp_path / "later.json") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "no JSON", '{"address": 8786}'])
def test_another_file_is_named_and_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other\.json' does not say where a scheduler is"):
        scheduler_file.read(path)
