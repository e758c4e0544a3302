"""The tutorials: each runs from top to bottom, and says what is printed in it; on the peer too, but for the import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIALS = sorted((Path(__file__).parents[2] / "notebooks" / "tutorials").glob("*.ipynb"))


def run(path: Path, tmp_path: Path, *replaced: tuple[str, str]) -> tuple[list[str], list[str]]:
    """What its cells show, and what they showed when it was written."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    written = [shown(cell) for cell in notebook.cells]
    for cell in notebook.cells:
        for before, after in replaced:
            cell.source = cell.source.replace(before, after)
    NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}}).execute()
    # What the client shows of itself differs each time, and is not kept in the file.
    return [shown(cell) if text else "" for cell, text in zip(notebook.cells, written, strict=True)], written


def shown(cell: Any) -> str:
    outputs = cell.get("outputs", [])
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs if o.get("name") != "stderr"]
    return "".join(texts)


def test_there_is_one_for_each_way_to_work() -> None:
    assert [path.stem for path in TUTORIALS] == ["arrays", "dataframes", "delayed", "futures", "joblib"]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_shows_what_it_says(path: Path, tmp_path: Path) -> None:
    now, written = run(path, tmp_path)
    assert now == written


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_the_peer_shows_the_same(path: Path, tmp_path: Path) -> None:
    now, written = run(
        path, tmp_path, ("from nbcluster", "from distributed"), ('BACKEND = "nbcluster"', 'BACKEND = "dask"')
    )
    assert now == written
