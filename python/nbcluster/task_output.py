"""``print`` as a task uses it."""

from __future__ import annotations

import builtins
import sys
from typing import Any, TextIO


def print(
    *args: Any, sep: str | None = " ", end: str | None = "\n", file: TextIO | None = None, flush: bool = False
) -> None:
    """Print, as the built-in function does: what a task prints appears where it was submitted, and in the logs.

    Args:
        args: what to print.
        sep: between them.
        end: after them.
        file: ``sys.stdout`` or ``sys.stderr``; None means the former.
        flush: have it appear at once.

    Raises:
        TypeError: ``file`` is something else, which only the worker would see.

    Example:
        >>> client.submit(print, "from a task").result()
        from a task
    """
    if file is not None and file is not sys.stdout and file is not sys.stderr:
        raise TypeError(f"file={file!r} is not allowed; give sys.stdout, sys.stderr or None")
    builtins.print(*args, sep=sep, end=end, file=file, flush=flush)
