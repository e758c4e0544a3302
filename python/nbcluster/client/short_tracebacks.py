"""Tracebacks of what tasks raised, without what is between the caller's line and the task's."""

from __future__ import annotations

import os
import types
from typing import TypeVar

from nbcluster import errors

_HERE = os.path.dirname(errors.__file__) + os.sep

E = TypeVar("E", bound=BaseException)


def shortened(error: E) -> E:
    """The same error, to be raised again by who has caught it: its traceback then has no frames of ours but that one.

    They would not only be in the way. A notebook keeps the last traceback, with all that its frames refer to, and so
    would go on to want what the user has been told is of no use.

    What is raised here, and is not for the user, stays as it is.
    """
    inner = error.__traceback__ and error.__traceback__.tb_next
    while inner is not None and _is_ours(inner.tb_frame):
        inner = inner.tb_next
    if inner is not None or isinstance(error, errors.NbclusterError):
        error.__traceback__ = inner
        _clear_behind(inner)
    return error


def _is_ours(frame: types.FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_HERE)


def _clear_behind(traceback: types.TracebackType | None) -> None:
    """Empty those of our frames that frames of a traceback were called from, if they have ended."""
    while traceback is not None:
        frame = traceback.tb_frame.f_back
        while frame is not None:
            try:
                if _is_ours(frame):
                    frame.clear()
            except RuntimeError:  # it is the caller's, who goes on
                break
            frame = frame.f_back
        traceback = traceback.tb_next
