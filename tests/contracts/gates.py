"""What tasks of the contract tests do: they work the same in threads and in other processes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually

_PATIENCE = 30.0


class Gate:
    """Tasks wait before it until it is opened. It is a file, so it works for other processes too."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.visitors = Tally(path.with_name("visitors"))

    def open(self) -> None:
        Path(self.path).touch()

    def pass_through(self, value: Any = None) -> Any:
        """Run in a task: wait until the gate is open."""
        self.visitors.add()
        deadline = time.monotonic() + _PATIENCE
        while not os.path.exists(self.path):
            if time.monotonic() > deadline:
                raise TimeoutError("nobody opened the gate")
            time.sleep(0.002)
        return value

    def wait_for_visitors(self, count: int = 1) -> None:
        """Run in the test: wait until so many tasks have come to the gate."""
        eventually(lambda: self.visitors.count >= count, f"{count} tasks at the gate")


class Tally:
    """Counts across processes: one byte in a file for each time."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def add(self) -> int:
        """Run in a task: one more; returns how many it were before."""
        with open(self.path, "ab") as file:
            before = file.tell()
            file.write(b".")
        return before

    @property
    def count(self) -> int:
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0


def at_gate(gate: Gate, value: Any = None) -> Any:
    return gate.pass_through(value)


def tallied(tally: Tally, value: Any = None) -> Any:
    tally.add()
    return value


def inc(x: int) -> int:
    return x + 1


def add(x: Any, y: Any) -> Any:
    return x + y


def echo(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def identity(x: Any) -> Any:
    return x


class Mishap(Exception):
    """What tasks of these tests raise."""


def fail_with(text: str) -> None:
    raise Mishap(text)


def fail_first(tally: Tally, times: int) -> int:
    """Fails the first so many times."""
    before = tally.add()
    if before < times:
        raise Mishap(f"failure number {before}")
    return before
