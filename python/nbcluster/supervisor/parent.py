"""Noticing the end of the process that started this one.

The usual sign is the end of a pipe or socket that it holds. But a fork of it holds that too, and may live on:
so the kernel is asked about the process itself.
"""

from __future__ import annotations

import os


def watch(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the kernel has no such thing."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # an old kernel, or a sandbox that forbids it; or it has just ended: then so has the pipe
