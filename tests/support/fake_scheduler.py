"""The scheduler's end of a worker's link: says what it is told to say, and remembers what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from nbcluster.comm.base import Connection
from nbcluster.comm.transports import listen
from nbcluster.protocol.messages import (
    Compute,
    ComputeTask,
    DefineFunctions,
    Dependency,
    TaskDone,
    TasksDone,
    WorkerMessage,
)
from nbcluster.protocol.records import Message
from nbcluster.protocol.serialize import dump_call, dump_function
from nbcluster.types import Key, Role, RunId
from nbcluster.worker.config import WorkerConfig
from nbcluster.worker.server import WorkerServer
from tests.support.eventually import soon
from tests.support.links import DEADLINE, TOKEN, Recorder

T = TypeVar("T")


class FakeScheduler:
    """Accepts one worker."""

    def __init__(self) -> None:
        self.address = ""
        self.heard = Recorder()
        self.link: Connection
        self._run_ids = 0

    def accept(self, link: Connection) -> None:
        self.link = link
        link.start(self.heard)

    def send(self, *messages: Message) -> None:
        self.link.send(*messages)

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        key: Key | None = None,
        dependencies: list[Dependency] | None = None,
        define: bool = True,
    ) -> RunId:
        """Have the worker run a function; its key is ``key`` or ``"task-1"`` and so on.

        Without ``define`` the worker has to know the function already.
        """
        self._run_ids += 1
        run_id = self._run_ids
        function_id, definition = dump_function(function)
        call = dump_call(args, {})
        task = ComputeTask(
            key or f"task-{run_id}",
            run_id,
            function_id,
            call.data,
            (0, run_id),
            tuple(dependencies or ()),
            tuple(call.frames),
        )
        if define:
            self.send(DefineFunctions({function_id: definition}))
        self.send(Compute([task]))
        return run_id

    def all(self, kind: type[T]) -> list[T]:
        """What was heard of one kind."""
        return [message for message in self.heard.messages if isinstance(message, kind)]

    async def hear(self, kind: type[T], count: int = 1) -> T:
        """Wait for the ``count``-th message of a kind."""
        await soon(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[count - 1]

    @property
    def done(self) -> dict[RunId, TaskDone]:
        """All successes."""
        return {done.run_id: done for message in self.all(TasksDone) for done in message.items}

    async def result(self, run_id: RunId) -> TaskDone:
        """Wait for a success."""
        await soon(lambda: run_id in self.done)
        return self.done[run_id]


@asynccontextmanager
async def fake_scheduler(address: str = "inproc://") -> AsyncIterator[FakeScheduler]:
    """A scheduler that listens."""
    scheduler = FakeScheduler()
    listener = await listen(address, token=TOKEN, incoming={Role.WORKER: WorkerMessage}, on_connection=scheduler.accept)
    scheduler.address = listener.address
    try:
        yield scheduler
    finally:
        await listener.close()
        if scheduler.heard.batches:
            await scheduler.link.close()


@asynccontextmanager
async def worker_of(
    scheduler: FakeScheduler, directory: Path, name: str = "w0", **options: Any
) -> AsyncIterator[WorkerServer]:
    """A worker of that scheduler, registered."""
    config = WorkerConfig(
        scheduler=scheduler.address,
        name=name,
        listen=f"unix://{directory}/{name}.sock",
        connect_timeout=DEADLINE,
        **{k: v for k, v in options.items() if k in WorkerConfig.__struct_fields__},
    )
    rest = {k: v for k, v in options.items() if k not in WorkerConfig.__struct_fields__}
    async with WorkerServer(config, TOKEN, **rest) as worker:
        await asyncio.wait_for(scheduler.heard.count(1), DEADLINE)
        yield worker
