"""Steering a cluster from another process: a link that carries commands, views and names, and no tasks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl as tls
from collections.abc import Callable
from typing import Any

from nbcluster.comm.base import Connection
from nbcluster.comm.transports import connect
from nbcluster.commands import AnyAnswer, AnyCommand, Subscribe, View
from nbcluster.deadlines import within
from nbcluster.engines.base import OnView
from nbcluster.errors import ClusterClosedError, CommClosedError
from nbcluster.protocol.calls import Calls
from nbcluster.protocol.joining import NameRequest, ToHost, WorkerEnded
from nbcluster.protocol.messages import Answered, Call, CallFailed, Pushed, Stopping, ToClient, Welcome
from nbcluster.protocol.operating import OperationDone
from nbcluster.types import Address, Role

OnEnd = Callable[[str, bool], None]


class ControlLink:
    """One link with role ``control``. Made by :meth:`open`, on the loop that it then lives on."""

    def __init__(
        self, connection: Connection, on_view: OnView, on_end: OnEnd, on_told: Callable[[ToHost], None] | None
    ) -> None:
        self.closed_because = ""
        self._connection = connection
        self._on_view = on_view
        self._on_end = on_end
        self._on_told = on_told
        self._calls = Calls()
        self._welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()

    @classmethod
    async def open(
        cls,
        address: Address,
        token: bytes,
        on_view: OnView,
        on_end: OnEnd,
        timeout: float,
        ssl: tls.SSLContext | None = None,
        on_told: Callable[[ToHost], None] | None = None,
    ) -> ControlLink:
        """Connect, and wait for the scheduler's greeting.

        Args:
            address: the cluster's.
            token: the cluster's.
            on_view: called with every view that the cluster pushes.
            on_end: called once, with the reason, and whether the link was lost rather than closed.
            timeout: seconds.
            ssl: for a ``tls://`` address.
            on_told: called with what is to happen to the worker whose name was taken over this link.
        """
        connection = await connect(address, role=Role.CONTROL, token=token, incoming=ToClient, timeout=timeout, ssl=ssl)
        link = cls(connection, on_view, on_end, on_told)
        connection.start(link)
        try:
            await within(asyncio.shield(link._welcome), timeout)
        except BaseException:
            await connection.close()
            raise
        return link

    @property
    def welcome(self) -> Welcome:
        """What the scheduler said of itself."""
        return self._welcome.result()

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Have the cluster carry out a command.

        Raises:
            ClusterClosedError: the cluster is closed, or its process is gone.
            Exception: what the cluster says is wrong with the command.
        """
        if self.closed_because:
            raise ClusterClosedError(f"the cluster is closed: {self.closed_because}")
        number, answer = self._calls.open()
        self._connection.send(Call(number, command))
        result: AnyAnswer = await answer
        return result

    async def ask(self, request: Callable[[int], NameRequest]) -> None:
        """Ask something for a worker from outside, and wait until it is done.

        Raises:
            ValueError: the name is taken.
            ClusterClosedError: the cluster is closed, or its process is gone.
        """
        if self.closed_because:
            raise ClusterClosedError(f"the cluster is closed: {self.closed_because}")
        number, answer = self._calls.open()
        self._connection.send(request(number))
        await answer

    def tell(self, ended: WorkerEnded) -> None:
        """Say how the process of a worker from outside ended, if there is still somebody to tell."""
        if not self.closed_because:
            with contextlib.suppress(CommClosedError):
                self._connection.send(ended)

    async def subscribe(self, interval: float) -> None:
        """Have views pushed."""
        answer = await self.call(Subscribe(interval=interval))
        if isinstance(answer, View):
            self._on_view(answer.cluster)

    async def wait_ended(self) -> None:
        """Wait until the link has ended, whoever ended it."""
        await self._ended.wait()

    async def close(self) -> None:
        """Let go of the cluster; it goes on."""
        self._end("this side closed the link")
        await self._connection.close()

    # --- the link's receiver ---

    def received(self, messages: list[Any]) -> None:
        """Messages of the scheduler."""
        for message in messages:
            if isinstance(message, Pushed):
                if isinstance(message.answer, View):
                    self._on_view(message.answer.cluster)
            elif isinstance(message, Answered):
                self._calls.answered(message)
            elif isinstance(message, OperationDone):
                self._calls.answer(message.request, message.answer)
            elif isinstance(message, CallFailed):
                self._calls.failed(message)
            elif isinstance(message, Welcome):
                self._welcome.set_result(message)
            elif isinstance(message, ToHost):
                if self._on_told is not None:
                    self._on_told(message)
            elif isinstance(message, Stopping):
                self._end(message.reason)

    def lost(self, error: Exception | None) -> None:
        """The link has ended."""
        self._end(f"its process is gone ({error or 'the link was closed'})", lost=error is not None)

    def _end(self, reason: str, *, lost: bool = False) -> None:
        if self.closed_because:
            return
        self.closed_because = reason
        gone = ClusterClosedError(f"the cluster is closed: {reason}")
        self._calls.end(gone)
        if not self._welcome.done():
            self._welcome.set_exception(gone)
            self._welcome.exception()  # nobody may be waiting for it, and that is nothing to complain of
        self._ended.set()
        self._on_end(reason, lost)
