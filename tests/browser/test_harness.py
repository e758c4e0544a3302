"""The harness itself: a real JupyterLab, in a real browser, with our lab extension."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.support.browser import LabPage
from tests.support.lab import Lab

PLUGIN = "nbcluster:plugin"


def test_jupyterlab_loads_the_lab_extension(lab_page: LabPage) -> None:
    lab_page.open()
    assert lab_page.has_plugin(PLUGIN)


def test_the_lab_extension_can_be_left_out(page: Page, lab_without_extension: Lab) -> None:
    lab_page = LabPage(page, lab_without_extension)
    lab_page.open()
    assert not lab_page.has_plugin(PLUGIN)


def test_a_notebook_runs_and_shows_its_output(
    run_notebook: Callable[..., LabPage], screenshot: Callable[[str], Path]
) -> None:
    notebook = run_notebook("print('hello')", "6 * 7", "1 / 0", "'not reached'")
    assert notebook.text(0) == "hello\n"
    assert notebook.text(1) == "42"
    assert notebook.text(2) == "ZeroDivisionError: division by zero"
    assert notebook.outputs(3) == []
    expect(notebook.cell(1)).to_contain_text("42")
    assert screenshot("harness").stat().st_size > 0


def test_cells_run_while_the_test_looks_on(lab_page: LabPage) -> None:
    cell = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\nprint('gone')"
    lab_page.open_notebook(lab_page.lab.write_notebook("waits.ipynb", [cell]))
    lab_page.start_all()
    expect(lab_page.cell(0)).to_contain_text("[*]")
    (lab_page.lab.root / "go").touch()
    lab_page.wait_until_run()
    assert lab_page.text(0) == "gone\n"
