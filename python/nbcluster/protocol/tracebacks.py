"""Tracebacks as data, and back: what a task's frames looked like, without the frames.

A rebuilt traceback has real frames, of tiny code objects that carry the file, the name and the exact position
of the original line; so ``traceback``, IPython and debuggers show the line that failed in the worker.
"""

from __future__ import annotations

import ast
import asyncio
import os
import sys
import types
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

MAX_FRAMES = 200
"""Of a longer traceback (endless recursion) both ends are kept."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ENGINE = (
    os.path.join(_PACKAGE, "worker", ""),
    os.path.join(_PACKAGE, "protocol", ""),
    os.path.join(os.path.dirname(asyncio.__file__), ""),
)
"""Where the frames come from that lead to a task's own; nobody wants to see them."""


class FrameSummary(msgspec.Struct, frozen=True, array_like=True):
    """One line of a traceback. Columns are UTF-8 bytes, as the compiler counts them."""

    filename: str
    name: str
    module: str
    lineno: int
    end_lineno: int | None = None
    colno: int | None = None
    end_colno: int | None = None


def summarise(traceback: types.TracebackType | None) -> list[FrameSummary]:
    """Describe a traceback from the first frame on that is not the engine's."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_ENGINE):
        traceback = traceback.tb_next
    frames: list[FrameSummary] = []
    while traceback is not None:
        frames.append(_summarise_frame(traceback))
        traceback = traceback.tb_next
    if len(frames) > MAX_FRAMES:
        frames[MAX_FRAMES // 2 : -MAX_FRAMES // 2] = []
    return frames


def rebuild(frames: Iterable[FrameSummary]) -> types.TracebackType | None:
    """Make a traceback of them: real to whoever looks at it."""
    return next(_rebuilt(frames))


def _rebuilt(frames: Iterable[FrameSummary]) -> Iterator[types.TracebackType | None]:
    """A frame keeps the one that it was called from, with all that this one refers to, and so on.

    Behind the frame of a generator that has been left there is none: who rebuilds a traceback is not kept by it. (In
    Python 3.12 there is; see ``client.short_tracebacks``.)
    """
    traceback: types.TracebackType | None = None
    for summary in reversed(list(frames)):
        frame, instruction = _make_frame(summary)
        traceback = types.TracebackType(traceback, frame, instruction, summary.lineno)
    yield traceback


def _summarise_frame(traceback: types.TracebackType) -> FrameSummary:
    frame = traceback.tb_frame
    code = frame.f_code
    position: Any = (None, None, None, None)
    if sys.version_info >= (3, 11) and traceback.tb_lasti >= 0:
        position = next(islice(code.co_positions(), traceback.tb_lasti // 2, None), position)
    lineno, end_lineno, colno, end_colno = position
    module = frame.f_globals.get("__name__")
    return FrameSummary(
        code.co_filename,
        code.co_name,
        module if isinstance(module, str) else "",
        lineno or traceback.tb_lineno or 1,
        end_lineno,
        colno,
        end_colno,
    )


def _make_frame(summary: FrameSummary) -> tuple[types.FrameType, int]:
    """A frame that stopped where the summary says, and the index of the instruction it stopped at."""
    end_lineno, colno, end_colno = summary.end_lineno, summary.colno, summary.end_colno
    exact = end_lineno is not None and colno is not None and end_colno is not None
    place: dict[str, Any] = {"lineno": summary.lineno, "end_lineno": summary.lineno}
    place |= {"col_offset": 0, "end_col_offset": 0}
    if exact:
        place |= {"end_lineno": end_lineno, "col_offset": colno, "end_col_offset": end_colno}
    look = ast.Name(id="look", ctx=ast.Load(), **place)
    keep = ast.Name(id="frame", ctx=ast.Store(), **place)
    call = ast.Call(func=look, args=[], keywords=[], **place)
    module = ast.Module(body=[ast.Assign(targets=[keep], value=call, **place)], type_ignores=[])
    code = compile(module, "<remote>", "exec").replace(co_filename=summary.filename, co_name=summary.name)
    if sys.version_info >= (3, 11):
        code = code.replace(co_qualname=summary.name)
    variables: dict[str, Any] = {
        "__name__": summary.module,
        "__file__": summary.filename,
        "look": sys._getframe,
    }
    exec(code, variables)
    frame: types.FrameType = variables.pop("frame")
    del variables["look"]
    # Without an exact position there is nothing to underline: only the line counts.
    return frame, frame.f_lasti if exact else -1
