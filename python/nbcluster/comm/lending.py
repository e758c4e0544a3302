"""The reading side of a link, lent to threads: who waits for an answer reads it, instead of being woken by the loop.

    loop: pauses its transport ──▶ lent ── a thread: poll, recv, look at what came ──▶ loop: takes in the rest, reads on

Rules
1. Nobody reads but who holds the lock. The loop only tries to take it: it never waits.
2. A thread may be interrupted (Ctrl-C) at any instruction. So what it receives is put into the inbox by the same call
   in C that receives it, and stays there until all of it is dealt with. What is left when a thread goes is the
   loop's, which deals with it anew: a thread does only what may be done twice.
3. A thread deals with nothing but plain messages of which it can say so. It leaves all else where it is.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from nbcluster.comm.awake import Expectation
from nbcluster.protocol.framing import PlainFrames

PIECE = 64 * 1024
"""Bytes that a thread reads at a time, at most."""


class Lending:
    """Who reads from a socket: the loop, as long as it is not ``lent``, or a thread.

    Args:
        sock: the link's; not closed while it is read from here, but maybe between two calls.
        incoming: what may arrive.
    """

    def __init__(self, sock: socket.socket, incoming: Any) -> None:
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._reading = threading.Lock()
        self._inbox: deque[bytes] = deque()
        self._frames = PlainFrames(incoming)
        self._expectation = Expectation()
        self.lent = False
        self.uses = 0
        """How often threads have read; about."""

    # --- on the loop ---

    def take_back(self) -> list[bytes] | None:
        """What arrived and was not dealt with, or None if a thread is reading just now. On the loop."""
        if not self._reading.acquire(blocking=False):
            return None
        try:
            self.lent = False
            left = list(self._inbox)
            self._inbox.clear()
            return left
        finally:
            self._reading.release()

    # --- in any thread ---

    def read(
        self, take: Callable[[list[Any]], bool], done: Callable[[], bool], seconds: float, awake: bool = False
    ) -> bool:
        """Read until ``done()``. False if it is not, for ``seconds`` or because of what has arrived: the loop reads on.

        Args:
            take: deals with messages; False if it leaves them to the loop. An interrupt may have it called again.
            done: there is nothing more to wait for.
            seconds: after which to give up.
            awake: stay awake for what is about to come; see ``awake``.
        """
        end = time.monotonic() + seconds
        inbox = self._inbox
        with self._reading:
            if inbox or not self.lent:
                return False
            while not done():
                left = end - time.monotonic()
                if left <= 0 or not (self._arrives(left) if awake else self._poll.poll(left * 1000)):
                    return False
                self.uses += 1
                try:
                    inbox.extend(map(self._sock.recv, (PIECE,), (socket.MSG_DONTWAIT,)))
                except OSError:  # the loop will see what is wrong with it
                    return False
                if not inbox[-1]:  # the end of the stream
                    return False
                messages = self._frames.messages(inbox[0] if len(inbox) == 1 else b"".join(inbox))
                if messages is None or (messages and not take(messages)):
                    return False
                if messages:
                    inbox.clear()
        return True

    def _arrives(self, seconds: float) -> bool:
        """Wait until there is something to read, awake if that will be soon. False if there is not for ``seconds``."""
        poll = self._poll.poll
        until = self._expectation.asked()
        while not (arrived := poll(0)) and time.monotonic() < until:
            os.sched_yield()
        arrived = arrived or poll(seconds * 1000)
        self._expectation.answered()
        return bool(arrived)
