"""``send`` by a thread that keeps Python's interpreter lock (GIL): it computes on, and the socket takes all at once.

``socket.send`` lets go of the lock for the microseconds of a system call that never waits. If another thread computes,
too, it takes the lock then and keeps it for 5 ms, ``sys.getswitchinterval()``: so who has a dozen messages to send
would mostly wait.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

Send = Callable[[int, bytes, int, int], int]
"""Descriptor, data, how many bytes they are, flags; returns how many it took, or -1 if none, whatever the reason."""


@functools.cache
def sender() -> Send:
    """That of the C library, where there are socket files: nowhere else do threads send."""
    import ctypes  # not before a thread has much to say: it takes milliseconds

    send: Send = ctypes.PyDLL(None).send
    send.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]  # type: ignore[attr-defined]
    send.restype = ctypes.c_ssize_t  # type: ignore[attr-defined]
    return send
