"""``progress(futures)``: a bar that fills while futures get done, in notebooks and in terminals.

In a notebook the bar is HTML in the cell's output, which is replaced as it fills; no widget. So it stays in the
saved notebook as it was in the end, and every front end shows it.
"""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
import time
from collections.abc import Callable
from html import escape
from typing import Any

from nbcluster.arguments import check_flag, check_optional_flag, check_whole
from nbcluster.types import key_prefix
from nbcluster.units import parse_seconds
from nbcluster.widgets.mime import in_kernel
from nbcluster.widgets.tally import Count, Tally

_IN_NOTEBOOK = 0.2
_IN_TERMINAL = 0.05
_WIDTH = 40


def progress(
    *futures: Any,
    notebook: bool | None = None,
    multi: bool = True,
    complete: bool = True,
    group_by: str | Callable[[str], str] = "prefix",
    interval: float | str | None = None,
    width: int = _WIDTH,
) -> Any:
    """Show how far futures are.

    In a notebook the bar is what this returns: leave it as the last line of a cell, or ``display()`` it. The
    cell goes on, and the bar fills by itself. In a terminal, this waits until all futures are done; called on
    an event loop, it returns a coroutine that does.

    Args:
        futures: what to watch: futures, in any containers.
        notebook: which of the two; None finds out.
        multi: in a notebook, a bar for each group instead of one for all.
        complete: count those that were done already, too.
        group_by: ``"prefix"`` (the function's name), or a function from a key to the name of its group.
        interval: seconds from one look to the next, or text like ``"100 ms"``; by default 0.2 in a notebook, and
            0.05 in a terminal.
        width: how long the bar is in a terminal; characters.

    Raises:
        TypeError: something that is no future is among them, or a keyword has the wrong type.
        ValueError: a keyword has a value that is not allowed.

    Example:
        >>> futures = client.map(abs, range(-3, 3))
        >>> progress(futures)
    """
    if group_by != "prefix" and not callable(group_by):
        raise ValueError(f"group_by={group_by!r} is not allowed; give 'prefix' or a function of a key")
    check_optional_flag("notebook", notebook)
    check_flag("complete", complete)
    check_flag("multi", multi)
    seconds = None if interval is None else parse_seconds(interval, "interval")
    width = check_whole("width", width, least=1)
    group_of = group_by if callable(group_by) else key_prefix
    tally = Tally(futures, group_of if multi else lambda key: "", complete)
    if in_kernel() if notebook is None else notebook:
        return NotebookProgress(tally, _IN_NOTEBOOK if seconds is None else seconds)
    bar = _TerminalProgress(tally, _IN_TERMINAL if seconds is None else seconds, width)
    return bar.watch_async() if _on_event_loop() else bar.watch()


class NotebookProgress:
    """A bar in a cell's output. It ends with the last future, or with the process."""

    def __init__(self, tally: Tally, interval: float = _IN_NOTEBOOK) -> None:
        self._tally = tally
        self._interval = interval
        self._displays: list[Any] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Progress: {self._tally.all.text()}>"

    def _repr_html_(self) -> str:
        return progress_html(self._tally)

    def _ipython_display_(self) -> None:
        from IPython.display import DisplayHandle

        self._tally.look()
        display: Any = DisplayHandle()  # type: ignore[no-untyped-call]
        display.display(self._data(), raw=True)
        if not self._tally.done:
            self._displays.append(display)
            if self._thread is None:
                self._begin()

    def _begin(self) -> None:
        # Not beyond the main thread: what is sent then may find the kernel's sockets taken apart.
        atexit.register(self._end)
        self._thread = threading.Thread(target=self._follow, name="nbcluster-progress", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1)

    def _follow(self) -> None:
        shown = ""
        done = False
        while not done and not self._stop.wait(_pause(self._tally, self._interval)):
            done = self._tally.done
            data = self._data()
            if data["text/html"] != shown:
                shown = data["text/html"]
                for display in self._displays:
                    display.update(data, raw=True)
        atexit.unregister(self._end)

    def _data(self) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


# --- HTML -----------------------------------------------------------------------------------------

_ROW = (
    "display: grid; grid-template-columns: minmax(0, max-content) minmax(120px, 420px) max-content; "
    "gap: 2px 12px; align-items: center; font-variant-numeric: tabular-nums"
)
_NAME = "overflow: hidden; text-overflow: ellipsis; white-space: nowrap"
_BAR = "display: flex; height: 10px; border-radius: 5px; overflow: hidden; background: rgba(128, 128, 128, 0.25)"
_COLOURS = {"finished": "#388e3c", "failed": "#d32f2f", "cancelled": "#808080"}


def progress_html(tally: Tally) -> str:
    """A row for each group: its name, its bar, its numbers."""
    seconds = f"{tally.seconds:.1f} s" if tally.done else f"{int(tally.seconds)} s"
    rows = "".join(_row(name, count) for name, count in tally.groups.items())
    state = "done in" if tally.done else "running for"
    summary = f"{state} {seconds}" if tally.groups else "There are no futures."
    return (
        f'<div data-testid="nbcluster-progress" data-done="{tally.all.done}" data-total="{tally.all.total}" '
        f'data-failed="{tally.all.failed}"><div style="{_ROW}">{rows}</div>'
        f'<div style="opacity: 0.7">{summary}</div></div>'
    )


def _row(name: str, count: Count) -> str:
    parts = [("finished", count.finished), ("failed", count.failed), ("cancelled", count.cancelled)]
    bars = "".join(
        f'<div style="width: {100 * n / count.total:.2f}%; background: {_COLOURS[part]}"></div>'
        for part, n in parts
        if n
    )
    return (
        f'<span style="{_NAME}" title="{escape(name)}">{escape(name)}</span>'
        f'<div style="{_BAR}" role="progressbar" aria-label="{escape(name)}" aria-valuemin="0" '
        f'aria-valuemax="{count.total}" aria-valuenow="{count.done}">{bars}</div>'
        f"<span>{count.text()}</span>"
    )


# --- text -----------------------------------------------------------------------------------------


def progress_text(tally: Tally, width: int = _WIDTH) -> str:
    """One line, for a terminal."""
    count = tally.all
    filled = round(width * count.done / count.total) if count.total else width
    return f"[{'#' * filled}{'-' * (width - filled)}] {count.text()}, {tally.seconds:.1f} s"


class _TerminalProgress:
    """A bar in a terminal, until all are done."""

    def __init__(self, tally: Tally, interval: float, width: int) -> None:
        self._tally = tally
        self._interval = interval
        self._width = width
        self._line = _Line()

    def watch(self) -> None:
        try:
            while not self._tally.done:
                time.sleep(self._draw())
        finally:
            self._line.end(progress_text(self._tally, self._width))

    async def watch_async(self) -> None:
        try:
            while not self._tally.done:
                pause = self._draw()
                await asyncio.sleep(pause)
        finally:
            self._line.end(progress_text(self._tally, self._width))

    def _draw(self) -> float:
        """Draw it, and say how long to wait before it is drawn again."""
        self._line.draw(progress_text(self._tally, self._width))
        return _pause(self._tally, self._interval)


class _Line:
    """A line of a terminal that is written again and again; in a file, only its end counts."""

    def __init__(self) -> None:
        self._moving = sys.stderr.isatty()
        self._length = 0

    def draw(self, text: str) -> None:
        if self._moving:
            sys.stderr.write(f"\r{text.ljust(self._length)}")
            sys.stderr.flush()
            self._length = len(text)

    def end(self, text: str) -> None:
        start = "\r" if self._moving else ""
        sys.stderr.write(f"{start}{text.ljust(self._length)}\n")
        sys.stderr.flush()


def _pause(tally: Tally, least: float) -> float:
    """Look at the futures, and say how long to wait before the next look.

    Looking at very many of them takes a while; it never takes more than a tenth of the time.
    """
    began = time.monotonic()
    tally.look()
    return 0.0 if tally.done else max(least, 10 * (time.monotonic() - began))


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
