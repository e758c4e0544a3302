"""Fixtures for tests that use JupyterLab through a real browser.

Every test in this folder is marked `browser`, and none may be skipped: what was not seen in a browser
was not tested. A test that fails leaves a picture in `screenshots/`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import LabPage, running_browser
from tests.support.lab import Lab, running_lab

HERE = Path(__file__).parent
SCREENSHOTS = HERE.parent.parent / "screenshots"
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"A browser test must not be skipped: {report.longrepr}"
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"A browser test must not be skipped: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A JupyterLab with nbcluster, shared by all tests."""
    with running_lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def lab_without_extension() -> Iterator[Lab]:
    """A JupyterLab whose page knows nothing of nbcluster, shared by all tests."""
    with running_lab(lab_extension=False) as lab:
        yield lab


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty page in a browser profile of its own."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        yield page
        if request.node.stash.get(FAILED, False):
            page.screenshot(path=SCREENSHOTS / f"failed-{request.node.name}.png")


@pytest.fixture
def lab_page(page: Page, lab: Lab) -> LabPage:
    """The page, for JupyterLab with nbcluster; nothing is opened yet."""
    return LabPage(page, lab)


@pytest.fixture
def run_notebook(lab_page: LabPage, request: pytest.FixtureRequest) -> Callable[..., LabPage]:
    """Call it with the sources of code cells: it opens a notebook of them and runs it."""

    def run(*cells: str, timeout: float = 60) -> LabPage:
        lab_page.open_notebook(lab_page.lab.write_notebook(f"{request.node.name}.ipynb", cells))
        lab_page.run_all(timeout)
        return lab_page

    return run


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], Path]:
    """Call it with a name: it takes a picture of the page for people to look at."""

    def take(name: str) -> Path:
        path = SCREENSHOTS / f"{name}.png"
        page.screenshot(path=path)
        return path

    return take
