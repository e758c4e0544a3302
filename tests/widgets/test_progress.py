from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from nbcluster.widgets import progress as module
from nbcluster.widgets.progress import NotebookProgress, progress
from tests.support.eventually import eventually
from tests.widgets.test_html import HOSTILE, Elements
from tests.widgets.test_tally import FakeFuture


class Terminal:
    """Stands in for stderr."""

    def __init__(self, tty: bool) -> None:
        self.tty = tty
        self.text = ""

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


class Display:
    """Stands in for IPython's handle to an output."""

    made: list[Display]

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.made.append(self)

    def display(self, data: dict[str, Any], raw: bool) -> None:
        self.shown.append(data)

    update = display


@pytest.fixture
def displays(monkeypatch: pytest.MonkeyPatch) -> list[Display]:
    import IPython.display

    Display.made = []
    monkeypatch.setattr(IPython.display, "DisplayHandle", Display)
    monkeypatch.setattr(module, "_IN_NOTEBOOK", 0.005)
    return Display.made


def test_in_a_terminal_it_waits_and_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(tty=True)
    monkeypatch.setattr("sys.stderr", terminal)
    futures = [FakeFuture("f-1", "finished"), FakeFuture("f-2")]
    waiting = threading.Thread(target=progress, args=(futures,))
    waiting.start()
    eventually(lambda: "1 of 2" in terminal.text)
    assert waiting.is_alive()
    futures[1].status = "error"
    waiting.join()
    last = terminal.text.rpartition("\r")[2]
    assert last.startswith(f"[{'#' * 40}] 2 of 2, 1 failed")
    assert last.endswith("\n")


def test_in_a_file_only_the_end_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Terminal(tty=False)
    monkeypatch.setattr("sys.stderr", file)
    done = [FakeFuture("f-1", "finished")]
    assert progress(done) is None
    assert file.text.count("\n") == 1
    assert "\r" not in file.text


def test_an_interrupt_leaves_a_whole_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(tty=True)
    monkeypatch.setattr("sys.stderr", terminal)

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    pending = FakeFuture("f-1")
    with pytest.raises(KeyboardInterrupt):
        progress(pending)
    assert terminal.text.endswith("\n")


def test_on_an_event_loop_it_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal(tty=False))

    async def main() -> None:
        future = FakeFuture("f-1")
        asyncio.get_running_loop().call_later(0.01, setattr, future, "status", "finished")
        await progress(future)
        assert future.status == "finished"

    asyncio.run(main())


def test_in_a_notebook_it_fills_by_itself_and_then_stops(displays: list[Display]) -> None:
    futures = [FakeFuture("load-1"), FakeFuture("fit-1")]
    bar = progress(futures, notebook=True)
    bar._ipython_display_()
    (display,) = displays
    assert 'data-done="0" data-total="2"' in display.shown[0]["text/html"]
    futures[0].status = "finished"
    eventually(lambda: 'data-done="1"' in display.shown[-1]["text/html"])
    futures[1].status = "error"
    eventually(lambda: not bar._thread.is_alive())
    last = display.shown[-1]
    assert 'data-done="2" data-total="2" data-failed="1"' in last["text/html"]
    assert "done in" in last["text/html"]
    assert last["text/plain"] == "<Progress: 2 of 2, 1 failed>"


def test_what_is_done_already_needs_no_thread(displays: list[Display]) -> None:
    done = FakeFuture("f-1", "finished")
    bar = progress(done, notebook=True)
    bar._ipython_display_()
    assert "done in" in displays[0].shown[0]["text/html"]
    assert bar._thread is None


def test_a_bar_ends_with_its_process(displays: list[Display]) -> None:
    pending = FakeFuture("f-1")
    bar = progress(pending, notebook=True)
    bar._ipython_display_()
    bar._end()
    assert not bar._thread.is_alive()


def test_there_is_a_bar_for_each_function_or_one_for_all() -> None:
    futures = [FakeFuture("load-1", "finished"), FakeFuture("fit-1", "finished")]
    several = progress(futures, notebook=True)
    assert isinstance(several, NotebookProgress)
    assert several._repr_html_().count('role="progressbar"') == 2
    assert progress(futures, notebook=True, multi=False)._repr_html_().count('role="progressbar"') == 1
    grouped = progress(futures, notebook=True, group_by=lambda key: key[-1])
    assert grouped._repr_html_().count('role="progressbar"') == 1


def test_names_are_escaped() -> None:
    future = FakeFuture(f"{HOSTILE}-1")
    elements = Elements(progress(future, notebook=True)._repr_html_())
    assert set(elements.tags) == {"div", "span"}


def test_nothing_to_watch_says_so() -> None:
    assert "There are no futures." in progress(notebook=True)._repr_html_()


def test_an_unknown_grouping_is_refused() -> None:
    with pytest.raises(ValueError, match="group_by='colour'"):
        progress(group_by="colour")
