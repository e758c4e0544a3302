"""Functions for tests to submit. A worker imports this module to run them, so it imports next to nothing."""

from __future__ import annotations

import ctypes
import os
import time


def square(x: int) -> int:
    return x * x


def square_slowly(x: int) -> int:
    time.sleep(0.005)
    return x * x


def crash(number: int) -> None:
    os.kill(os.getpid(), number)


def segfault() -> None:
    ctypes.string_at(0)


def make_bytes(x: int) -> bytes:
    return bytes([x]) * 200_000


def fill_memory() -> int:
    pieces = []
    while True:
        pieces.append(bytearray(b"x" * (20 << 20)))
        time.sleep(0.02)
