"""A cluster that is nothing but its control links: it answers calls with the views, runs and lines it was given."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from nbcluster.comm.base import Connection, Listener
from nbcluster.comm.transports import listen
from nbcluster.commands import (
    AnyAnswer,
    AnyCommand,
    GetLogs,
    GetTaskStream,
    GetView,
    Logs,
    Subscribe,
    TaskStream,
    View,
)
from nbcluster.protocol.messages import Answered, Call, CallFailed, Pushed, Welcome
from nbcluster.snapshot import ClusterView, LogLine, TaskRecord, WorkerView
from nbcluster.types import Address, Role, Status

TOKEN = b"t" * 32


def make_view(workers: int | list[WorkerView] = 2, **changes: Any) -> ClusterView:
    """A cluster with these workers, or with so many idle ones."""
    if isinstance(workers, int):
        workers = [make_worker(name) for name in range(workers)]
    view = ClusterView(
        id="fake",
        name="fake",
        status=Status.RUNNING,
        workers=workers,
        requested=len(workers),
        started=1_000_000.0,
    )
    return replace(view, **changes)


def make_worker(name: int | str, **changes: Any) -> WorkerView:
    """An idle worker."""
    worker = WorkerView(
        name=name,
        address=f"tcp://127.0.0.1:{40000 + (name if isinstance(name, int) else 999)}",
        status=Status.RUNNING,
        pid=1234,
        memory_limit=2**30,
        memory=100 * 2**20,
    )
    return replace(worker, **changes)


class FakeCluster:
    """Use it in a running loop: ``async with FakeCluster() as cluster``."""

    def __init__(self, view: ClusterView | None = None, address: Address = "tcp://127.0.0.1:0") -> None:
        self.view = view or make_view()
        self.records: list[TaskRecord] = []
        self.lines: list[LogLine] = []
        self.calls: list[AnyCommand] = []
        self.address = address
        self._links: set[_Link] = set()
        self._listener: Listener | None = None

    async def __aenter__(self) -> FakeCluster:
        self._listener = await listen(
            self.address, token=TOKEN, incoming={Role.CONTROL: Call}, on_connection=self._connected
        )
        self.address = self._listener.address
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._listener is not None
        await self._listener.close()
        await self.drop_links()

    @property
    def links(self) -> int:
        """How many managers are connected."""
        return len(self._links)

    @property
    def subscriptions(self) -> int:
        """How many of them are subscribed."""
        return sum(link.subscribed for link in self._links)

    async def drop_links(self) -> None:
        """End all links, as a cluster does that ends."""
        await asyncio.gather(*(link.connection.close() for link in list(self._links)))

    async def drop_subscriptions(self) -> None:
        """End the links of those who are subscribed."""
        await asyncio.gather(*(link.connection.close() for link in list(self._links) if link.subscribed))

    def show(self, view: ClusterView) -> None:
        """Have this view from now on, and push it to subscribers."""
        self.view = view
        for link in self._links:
            if link.subscribed:
                link.connection.send(Pushed(View(cluster=view)))

    def add_records(self, *records: TaskRecord) -> None:
        """Let runs complete; they are numbered on."""
        for record in records:
            self.records.append(replace(record, number=len(self.records) + 1))

    def _connected(self, connection: Connection) -> None:
        link = _Link(self, connection)
        self._links.add(link)
        connection.send(Welcome(self.view.id, self.view.name, self.address, ""))
        connection.start(link)

    def left(self, link: _Link) -> None:
        """A manager's link ended."""
        self._links.discard(link)

    def answer(self, link: _Link, command: AnyCommand) -> AnyAnswer:
        """Carry out a command, or raise."""
        self.calls.append(command)
        if isinstance(command, Subscribe):
            link.subscribed = True
            return View(cluster=self.view)
        if isinstance(command, GetView):
            return View(cluster=self.view)
        if isinstance(command, GetTaskStream):
            return TaskStream(records=[r for r in self.records if r.number > command.after][-command.limit :])
        if isinstance(command, GetLogs):
            wanted = [line for line in self.lines if command.worker is None or line.worker == command.worker]
            return Logs(lines=wanted[-command.limit :])
        raise ValueError(f"a fake cluster does not know {command}")


class _Link:
    def __init__(self, cluster: FakeCluster, connection: Connection) -> None:
        self.cluster = cluster
        self.connection = connection
        self.subscribed = False

    def received(self, messages: list[Any]) -> None:
        for message in messages:
            assert isinstance(message, Call)
            try:
                answer = self.cluster.answer(self, message.command)
            except ValueError as error:
                self.connection.send(CallFailed(message.id, type(error).__name__, str(error)))
            else:
                self.connection.send(Answered(message.id, answer))

    def lost(self, error: Exception | None) -> None:
        self.cluster.left(self)
