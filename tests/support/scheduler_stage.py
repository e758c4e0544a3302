"""A scheduler with real links, in a cluster that does nothing but remember what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from nbcluster.comm.base import Connection
from nbcluster.comm.transports import connect
from nbcluster.commands import AnyAnswer, AnyCommand, Scale, View
from nbcluster.protocol import messages as m
from nbcluster.protocol.operating import ClusterOperation
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler.invariants import check
from nbcluster.scheduler.server import SchedulerServer
from nbcluster.snapshot import ClusterView
from nbcluster.types import Role, WorkerName
from tests.support.eventually import soon
from tests.support.fake_cluster import make_view
from tests.support.links import TOKEN, Recorder, errors_of_loop

M = TypeVar("M")


DEADLINE = 20.0


class FakePorts:
    """The cluster around the scheduler: does nothing, and remembers what it was told."""

    def __init__(self) -> None:
        self.commands: list[AnyCommand] = []
        self.pushes: list[Callable[[AnyAnswer], None]] = []
        self.unsubscribed = 0
        self.under_supervision = False
        self.own: list[WorkerName] = []
        self.there: list[WorkerName] = []
        self.gone: list[WorkerName] = []

    async def call(self, command: AnyCommand) -> AnyAnswer:
        self.commands.append(command)
        if isinstance(command, Scale):
            raise ValueError("n=-1 is out of range") if command.n < 0 else LookupError("a fault of our own")
        return View(cluster=make_view())

    async def operate(self, operation: ClusterOperation) -> dict[str, str]:
        raise ValueError(f"nothing is done here: {operation}")

    def view(self) -> ClusterView:
        return make_view()

    def subscribe(self, push: Callable[[AnyAnswer], None], interval: float) -> Callable[[], None]:
        self.pushes.append(push)

        def unsubscribe() -> None:
            self.unsubscribed += 1

        return unsubscribe

    def supervised(self, name: WorkerName) -> bool:
        return self.under_supervision

    def owns(self, name: WorkerName) -> bool:
        return name in self.own

    def joined(self, name: WorkerName) -> None:
        self.there.append(name)

    def retired(self, name: WorkerName) -> None:
        self.gone.append(name)


class Party(Recorder):
    """One end of a link to the scheduler."""

    def __init__(self, link: Connection) -> None:
        super().__init__()
        self.link = link
        link.start(self)

    def say(self, *messages: Message) -> None:
        self.link.send(*messages)

    def heard(self, kind: type[M]) -> list[M]:
        return [message for message in self.messages if isinstance(message, kind)]

    async def hear(self, kind: type[M], count: int = 1) -> M:
        """Wait for the ``count``-th message of a kind."""
        await soon(lambda: len(self.heard(kind)) >= count, f"{count} {kind.__name__}, heard {self.messages}")
        return self.heard(kind)[count - 1]


class Stage:
    """A scheduler that listens, and parties that have connected."""

    def __init__(self) -> None:
        self.ports = FakePorts()
        self.server = SchedulerServer(m.Welcome("c1", "ada", "", ""), TOKEN, self.ports)
        self.address = ""
        self.parties: list[Party] = []

    async def party(self, role: Role) -> Party:
        link = await connect(self.address, role=role, token=TOKEN, incoming=m.ToClient | m.ToWorker, timeout=DEADLINE)
        self.parties.append(Party(link))
        return self.parties[-1]

    async def client(self, name: str = "") -> Party:
        party = await self.party(Role.CLIENT)
        party.say(m.RegisterClient(name or f"Client-{len(self.parties)}"))
        await party.hear(m.Welcome)
        return party

    async def worker(self, name: WorkerName, pid: int = 1, nthreads: int = 1) -> Party:
        party = await self.party(Role.WORKER)
        party.say(m.RegisterWorker(name, f"fake://{name}-{pid}", nthreads, pid))
        await soon(lambda: name in self.server.core.state.workers and self.ports.there[-1:] == [name])
        return party


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    made.address = await made.server.listen("inproc://")
    try:
        yield made
        check(made.server.core)
    finally:
        await made.server.close("the test is over")
        for party in made.parties:
            party.link.abort()


def staged(test: Callable[[Stage], Awaitable[None]]) -> Callable[[], None]:
    def wrapper() -> None:
        async def main() -> None:
            escaped = errors_of_loop()
            async with stage() as made:
                await test(made)
            assert escaped == []

        asyncio.run(asyncio.wait_for(main(), DEADLINE))

    wrapper.__name__ = test.__name__
    return wrapper


def submission(*keys: str) -> m.SubmitTasks:
    return m.SubmitTasks(b"f", Payload(b"f"), list(keys), [b"arguments"] * len(keys))


def done(task: m.ComputeTask) -> m.TasksDone:
    return m.TasksDone([m.TaskDone(task.key, task.run_id, 1, "int", 0, 1.0, 2.0, Payload(b"x"))])
