"""Accepts connections and brings up TLS on them, in sight of the gate.

``loop.create_server(ssl=…)`` would do the same, but who dawdles over TLS would then be known to the loop alone: neither
counted nor dropped when too many wait. Here each of them waits at the gate like everybody else.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import ssl
from collections.abc import Callable

from nbcluster.comm.admission import Admission

_log = logging.getLogger(__name__)

_PAUSE = 0.1
"""Seconds before the next try to accept when the process is out of descriptors or memory."""


class TlsServer:
    """A listener's loop of ``accept``.

    Args:
        context: the listener's credentials.
        admission: the listener's.
    """

    def __init__(self, context: ssl.SSLContext, admission: Admission) -> None:
        self._context = context
        self._admission = admission
        self._visitors: set[asyncio.Task[None]] = set()
        self._sock: socket.socket
        self._task: asyncio.Task[None]

    def start(self, sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Begin to accept on a listening socket; it is this object's from now on."""
        self._sock = sock
        self._task = asyncio.get_running_loop().create_task(self._accept(factory))

    async def close(self) -> None:
        """Stop accepting."""
        tasks = [self._task, *self._visitors]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self._sock.close()

    async def _accept(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._sock)
            except OSError as error:
                _log.warning("cannot accept a connection: %s; trying again", error)
                await asyncio.sleep(_PAUSE)
            else:
                task = loop.create_task(self._bring_up(accepted, factory))
                visitor = _Visitor(task)
                self._admission.enter(visitor)
                self._visitors.add(task)
                task.add_done_callback(functools.partial(self._done, visitor))

    async def _bring_up(self, sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                factory, sock, ssl=self._context, ssl_handshake_timeout=self._admission.policy.deadline
            )
        except OSError as error:  # as every SSLError is
            _log.debug("somebody was turned away: TLS failed: %s", error)

    def _done(self, visitor: _Visitor, task: asyncio.Task[None]) -> None:
        self._admission.leave(visitor)
        self._visitors.discard(task)
        if not task.cancelled():
            task.result()


class _Visitor:
    """One accepted connection until TLS is up, or is not."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def abort(self) -> None:
        """Give up at once."""
        self._task.cancel()
