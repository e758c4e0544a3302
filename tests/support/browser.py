"""A real Chromium, and JupyterLab in it as a person sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.support.lab import Lab
from tools import chromium

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Start the machine's Chromium without a window."""
    path = chromium.find()
    if path is None:
        raise RuntimeError(chromium.HELP)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class LabPage:
    """JupyterLab in a page of the browser. Times are seconds."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page = page
        self.lab = lab

    def open(self, path: str = "", *, reset: bool = True) -> None:
        """Open JupyterLab, on the file `path` if there is one; `reset` forgets the last layout."""
        place = f"lab/tree/{path}" if path else "lab"
        self.page.goto(f"{self.lab.url}{place}?token={self.lab.token}{'&reset' if reset else ''}")
        # The splash screen is not there at once: that it is absent means nothing before the application is.
        self.page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)", timeout=60_000)
        self.page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=60_000)

    def open_notebook(self, path: str, *, reset: bool = True) -> None:
        """Open a notebook and wait until its kernel is idle."""
        self.open(path, reset=reset)
        self.wait_for_kernel()

    def wait_for_kernel(self, timeout: float = 60) -> None:
        """Wait until the notebook has a kernel that is idle: the toolbar says so before there is one."""
        self.page.wait_for_function(
            """() => {
                const kernel = jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel;
                return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
            }""",
            timeout=timeout * 1000,
        )

    def start_all(self) -> None:
        """Start to run all cells."""
        self.page.evaluate(
            """() => {
                window.allRan = false;
                void jupyterapp.commands
                    .execute('notebook:run-all-cells')
                    .finally(() => { window.allRan = true; });
            }"""
        )

    def wait_until_run(self, timeout: float = 60) -> None:
        """Wait until all cells that `start_all` started have run, or one has failed."""
        self.page.wait_for_function("() => window.allRan", timeout=timeout * 1000)

    def run_all(self, timeout: float = 60) -> None:
        """Run all cells and wait until they have run, or one has failed."""
        self.start_all()
        self.wait_until_run(timeout)

    def restart_kernel(self) -> None:
        """Restart the notebook's kernel and wait until it is idle."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
        self.wait_for_kernel()

    def command(self, name: str, **arguments: Any) -> Any:
        """Execute a command of JupyterLab and return its result."""
        return self.page.evaluate(
            "([name, arguments]) => jupyterapp.commands.execute(name, arguments)", [name, arguments]
        )

    def has_plugin(self, name: str) -> bool:
        """Whether the plugin is there and was activated."""
        active: bool = self.page.evaluate("name => jupyterapp.isPluginActivated(name)", name)
        return active

    def cell(self, number: int) -> Locator:
        """The cell on the page; the first is 0."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def outputs(self, number: int) -> list[dict[str, Any]]:
        """The outputs of a cell as they would be saved in the notebook; the first cell is 0."""
        found: list[dict[str, Any]] = self.page.evaluate(
            "number => jupyterapp.shell.currentWidget.content.widgets[number].model.outputs.toJSON()", number
        )
        return found

    def text(self, number: int) -> str:
        """What a cell printed, returned and raised, as plain text; the first cell is 0."""
        return "".join(_text(output) for output in self.outputs(number))


def _text(output: dict[str, Any]) -> str:
    match output["output_type"]:
        case "stream":
            text = output["text"]
        case "error":
            text = f"{output['ename']}: {output['evalue']}"
        case _:
            text = output["data"].get("text/plain", "")
    return text if isinstance(text, str) else "".join(text)
