"""The quickstart, as somebody who tries nbcluster for the first time runs it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import LabPage
from tests.support.lab import running_lab

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
QUICKSTART = "quickstart.ipynb"
POINTS = 42
BEST = "97.3%"
"""What the best of them scores: the data and the search know no chance."""


@pytest.mark.timeout(400)
def test_the_quickstart_runs_from_top_to_bottom_and_shows_what_it_says(
    lab_page: LabPage, screenshot: Callable[[str], Path]
) -> None:
    run_quickstart(lab_page, screenshot)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_quickstart_runs_within_binders_limits(page: Page, screenshot: Callable[[str], Path]) -> None:
    limits = {"CPU_LIMIT": "1.0", "MEM_LIMIT": str(2 * 2**30)}
    with running_lab(environment=limits) as lab:
        text = run_quickstart(LabPage(page, lab), screenshot)
    assert found(r"workers: +(\d+)", text) == 1


def run_quickstart(lab_page: LabPage, screenshot: Callable[[str], Path]) -> str:
    """Run the notebook, and see that it shows what it says. Returns all its text."""
    copy_notebooks(lab_page.lab.root)
    lab_page.open_notebook(QUICKSTART)
    lab_page.run_all(timeout=300)

    code = {number: lab_page.outputs(number) for number in code_cells()}
    failed = [output for outputs in code.values() for output in outputs if output["output_type"] == "error"]
    assert not failed
    counts = lab_page.page.evaluate(
        """() => jupyterapp.shell.currentWidget.content.widgets
            .filter(cell => cell.model.type === 'code').map(cell => cell.model.executionCount)"""
    )
    assert counts == list(range(1, len(code) + 1)), "not every cell ran, in order"

    text = "".join(lab_page.text(number) for number in code)
    plain = found(r"plain Python: +42 pairs in ([\d.]+) s", text)
    assert found(r"plain Python: +([\d.]+) s", text) == plain
    fast = found(r"the cluster: +([\d.]+) s", text)
    assert found(r"speed-up: +([\d.]+) times", text) == pytest.approx(plain / fast, rel=0.05)
    assert found(r"workers: +(\d+)", text) >= 1
    assert "identical scores: True" in text
    assert f"best so far: {BEST}" in text
    assert re.search(rf"score +C +gamma\n{BEST}", text), "the table does not begin with the best"

    (card,) = [data for data in datas(code) if "application/vnd.nbcluster.card+json" in data]
    assert "application/vnd.jupyter.widget-view+json" in card
    assert card["application/vnd.nbcluster.card+json"]["view"]["status"] == "running"
    (bar,) = [html for html in htmls(code) if "nbcluster-progress" in html]
    assert f'data-done="{POINTS}" data-total="{POINTS}" data-failed="0"' in bar
    assert len([data for data in datas(code) if "image/png" in data]) == 2, "the digits and the heat map"

    heat_map = lab_page.cell(code_cells()[-2])
    heat_map.scroll_into_view_if_needed()
    expect(heat_map.locator("img")).to_be_visible()
    screenshot("quickstart-end")
    bar_cell = lab_page.page.get_by_test_id("nbcluster-progress")
    bar_cell.scroll_into_view_if_needed()
    expect(bar_cell).to_contain_text(f"{POINTS} of {POINTS}")
    screenshot("quickstart-progress")
    return text


def test_the_quickstart_is_kept_without_outputs() -> None:
    for cell in cells():
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def copy_notebooks(root: Path) -> None:
    """Everything that lies beside the notebook, and nothing that running it left behind."""
    for file in NOTEBOOKS.iterdir():
        if file.is_file():
            shutil.copy(file, root)


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((NOTEBOOKS / QUICKSTART).read_text())["cells"]
    return found


def code_cells() -> list[int]:
    return [number for number, cell in enumerate(cells()) if cell["cell_type"] == "code"]


def found(pattern: str, text: str) -> float:
    """The figure that a cell shows."""
    match = re.search(pattern, text)
    assert match, f"{pattern!r} is not in:\n{text}"
    return float(match[1])


def datas(code: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [output["data"] for outputs in code.values() for output in outputs if "data" in output]


def htmls(code: dict[int, list[dict[str, Any]]]) -> list[str]:
    return ["".join(data["text/html"]) for data in datas(code) if "text/html" in data]
