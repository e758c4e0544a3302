"""What tasks print goes to the log, as everything that the process writes, and to whoever submitted the task.

    task's thread: write("…") ──▶ the real stream, at once
                        └──▶ its unfinished line ── newline, or the task's end ──▶ deque ──▶ loop: send()

Lines of one task stay whole, whatever other threads print. What a worker sends is bounded: a task that prints
without end is cut short, in its submitter's cell, not in the log. Threads that run no task write plainly, unless what
they print is to be told too (``forwards_others``): then all clients are.
"""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from nbcluster.protocol.messages import TaskOutput
from nbcluster.types import Key
from nbcluster.worker import context

LINE_LIMIT = 10_000
"""Characters of one line that are sent."""
RATE_LIMIT = 200_000
"""Characters that are sent within ``RATE_PERIOD``."""
RATE_PERIOD = 1.0
OTHERS: Key = ""
"""Stands for the key of a task where there is none."""


class _Unfinished(threading.local):
    """The lines that tasks have begun in this thread, by task and stream: coroutines share one."""

    def __init__(self) -> None:
        self.parts: dict[tuple[Key, str], list[str]] = {}


class TaskOutputs:
    """Collects what tasks print, and sends it once per turn of the loop.

    Args:
        send: takes what was printed, in order; called on the loop.
    """

    def __init__(self, send: Callable[[list[TaskOutput]], None]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._unfinished = _Unfinished()
        self._lines: deque[tuple[Key, str, str]] = deque()
        self._wake_pending = False
        self._sent = 0
        self._period_end = 0.0
        self.forwards_others = False
        """Send what is printed outside of tasks as well."""

    def install(self) -> Callable[[], None]:
        """Replace ``sys.stdout`` and ``sys.stderr``. Returns the way back."""
        real_out, real_err = sys.stdout, sys.stderr
        sys.stdout = _TaskStream(real_out, "stdout", self)
        sys.stderr = _TaskStream(real_err, "stderr", self)

        def uninstall() -> None:
            sys.stdout, sys.stderr = real_out, real_err

        return uninstall

    # --- in the threads ---

    def wrote(self, key: Key, stream: str, text: str) -> None:
        """A task printed something."""
        parts = self._unfinished.parts.setdefault((key, stream), [])
        head, newline, tail = text.rpartition("\n")
        if newline:
            self._finish(key, stream, [*parts, head, newline])
            parts.clear()
        if tail:
            parts.append(tail)

    def complete(self, key: Key, stream: str) -> None:
        """Send what this thread has begun, though the line is not at its end."""
        parts = self._unfinished.parts.pop((key, stream), None)
        if parts:
            self._finish(key, stream, parts)

    def task_ended(self) -> None:
        """This thread's task, or this coroutine's, is over: what it has begun is complete."""
        unfinished = self._unfinished.parts
        if unfinished:
            key = context.current_key()
            for key_and_stream in [one for one in unfinished if one[0] == key]:
                parts = unfinished.pop(key_and_stream)
                if parts:
                    self._finish(*key_and_stream, parts)

    def _finish(self, key: Key, stream: str, parts: list[str]) -> None:
        self._lines.append((key, stream, "".join(parts)))
        if not self._wake_pending:
            self._wake_pending = True
            try:
                self._loop.call_soon_threadsafe(self.flush)
            except RuntimeError:  # the loop is closed: the log has it
                self._lines.clear()

    @property
    def pending(self) -> bool:
        """True if there are lines that are not sent yet."""
        return bool(self._lines)

    # --- on the loop ---

    def flush(self) -> None:
        """Send what there is."""
        self._wake_pending = False
        lines = self._lines
        if not lines:
            return
        merged: list[tuple[Key, str, list[str]]] = []
        for _ in range(len(lines)):
            key, stream, text = lines.popleft()
            if merged and merged[-1][:2] == (key, stream):
                merged[-1][2].append(text)
            else:
                merged.append((key, stream, [text]))
        outputs = [
            TaskOutput(key, stream, allowed)
            for key, stream, texts in merged
            if (allowed := self._allow("".join(map(_shorten, texts))))
        ]
        if outputs:
            self._send(outputs)

    def _allow(self, text: str) -> str:
        now = self._loop.time()
        if now >= self._period_end:
            self._period_end = now + RATE_PERIOD
            self._sent = 0
        if self._sent > RATE_LIMIT:
            return ""
        self._sent += len(text)
        if self._sent <= RATE_LIMIT:
            return text
        allowed = text[: len(text) - (self._sent - RATE_LIMIT)]
        return f"{allowed}\n[tasks print too much: the rest of this second is only in the worker's log]\n"


def _shorten(text: str) -> str:
    if len(text) <= LINE_LIMIT:
        return text
    return "".join(
        line if len(line) <= LINE_LIMIT else f"{line[:LINE_LIMIT]}[… {len(line) - LINE_LIMIT} more]\n"
        for line in text.splitlines(keepends=True)
    )


class _TaskStream(io.TextIOBase):
    """A text stream that passes on what it is given, and tells what of it came from a task."""

    def __init__(self, real: TextIO, name: str, outputs: TaskOutputs) -> None:
        super().__init__()
        self._real = real
        self._name = name
        self._outputs = outputs

    def write(self, text: str) -> int:
        written = self._real.write(text)
        key = context.current_key()
        if text and (key is not None or self._outputs.forwards_others):
            self._outputs.wrote(key or OTHERS, self._name, text)
        return written

    def flush(self) -> None:
        self._real.flush()
        if self._outputs.forwards_others:
            self._outputs.complete(OTHERS, self._name)

    @property
    def is_forwarded(self) -> bool:
        """True: what is written here may reach clients."""
        return True

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._real.fileno()

    @property
    def buffer(self) -> Any:
        """The bytes beneath: what is written there goes to the log alone."""
        return self._real.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The real stream's."""
        return self._real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """The real stream's."""
        return self._real.errors

    def close(self) -> None:
        """Streams of a process are not closed by those who print."""
