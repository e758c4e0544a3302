"""Collects what one event makes the scheduler say, so that each party gets it in one batch, in order.

Tasks for one worker merge into one ``Compute``, results for one client into one ``KeysDone``, and so on, as
long as nothing else was said to that party in between: order is never changed, for links are FIFO and the
machines rely on it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nbcluster.protocol.inspection import AnyLook
from nbcluster.protocol.messages import (
    Compute,
    ComputeTask,
    DefineFunctions,
    ForgetFunctions,
    FreeKeys,
    KeyDone,
    KeysDone,
    KeysPending,
)
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler.state import SchedClient, SchedWorker
from nbcluster.types import FunctionId, Key, WorkerName


class ToWorker(NamedTuple):
    """Send these messages to this worker, in this order."""

    name: WorkerName
    messages: list[Message]
    can_wait: bool = False
    """It is not worth waking the worker for, and may be sent ahead of whatever else there is to say soon."""


class ToClient(NamedTuple):
    """Send these messages to this client, in this order."""

    id: str
    messages: list[Message]


class Retired(NamedTuple):
    """This worker runs nothing and holds nothing that is not elsewhere: it may go."""

    name: WorkerName


class LookLocally(NamedTuple):
    """Look at the scheduler's own process, and tell this client what there is."""

    id: str
    request: int
    look: AnyLook


Command = ToWorker | ToClient | Retired | LookLocally

_Batch = tuple[type[Message], list[Any]]


class Outbox:
    """Batches in the making, by recipient."""

    __slots__ = ("_clients", "_looks", "_patient", "_retired", "_workers")

    def __init__(self) -> None:
        self._workers: dict[SchedWorker, list[_Batch]] = {}
        self._clients: dict[SchedClient, list[_Batch]] = {}
        self._patient: set[SchedWorker] = set()
        """Those of whom nothing is asked so far but to forget what they hold."""
        self._retired: list[WorkerName] = []
        self._looks: list[LookLocally] = []

    def compute(self, worker: SchedWorker, tasks: list[ComputeTask]) -> None:
        """Assign tasks."""
        _extend(self._workers.setdefault(worker, []), Compute, tasks)

    def define(self, worker: SchedWorker, function: FunctionId, definition: Payload) -> None:
        """Send a function, ahead of the first task that needs it."""
        _append(self._workers, worker, DefineFunctions, (function, definition))

    def forget_function(self, worker: SchedWorker, function: FunctionId) -> None:
        """Have a worker drop a function."""
        _append(self._workers, worker, ForgetFunctions, function)

    def free(self, worker: SchedWorker, key: Key) -> None:
        """Have a worker forget a key, and not run it. Nor will it have what is on its way to it by now."""
        self._patient.discard(worker)
        worker.putting.pop(key, None)
        _append(self._workers, worker, FreeKeys, key)

    def free_all(self, worker: SchedWorker, keys: list[Key]) -> None:
        """The same for what it holds of finished tasks."""
        batches = self._workers.setdefault(worker, [])
        if not batches:
            self._patient.add(worker)
        if worker.putting:
            for key in keys:
                worker.putting.pop(key, None)
        _extend(batches, FreeKeys, keys)

    def to_worker(self, worker: SchedWorker, message: Message) -> None:
        """Say anything else to a worker."""
        self._workers.setdefault(worker, []).append((type(message), [message]))

    def done(self, client: SchedClient, items: list[KeyDone]) -> None:
        """Tell a client of results."""
        _extend(self._clients.setdefault(client, []), KeysDone, items)

    def let_go(self, client: SchedClient, count: int) -> None:
        """Note that a client has let go of keys. What was said to it of results so far was said before."""
        batches = self._clients.get(client)
        if batches and batches[-1][0] is KeysDone:
            message = KeysDone(batches.pop()[1], client.let_go)
            batches.append((Message, [message]))
        client.let_go += count

    def pending(self, client: SchedClient, key: Key) -> None:
        """Tell a client that a result is being recomputed."""
        _append(self._clients, client, KeysPending, key)

    def to_client(self, client: SchedClient, message: Message) -> None:
        """Say anything else to a client."""
        self._clients.setdefault(client, []).append((type(message), [message]))

    def retired(self, worker: SchedWorker) -> None:
        """Announce that a worker may go."""
        self._retired.append(worker.name)

    def look_locally(self, client: SchedClient, request: int, look: AnyLook) -> None:
        """Have the shell look at its process, for a client."""
        self._looks.append(LookLocally(client.id, request, look))

    def forget_worker(self, worker: SchedWorker) -> None:
        """Drop what was meant for a worker that is gone."""
        self._workers.pop(worker, None)
        self._patient.discard(worker)

    def flush(self) -> list[Command]:
        """What has to be sent, merged; the outbox is empty afterwards."""
        commands: list[Command] = []
        if self._workers:
            for worker, batches in self._workers.items():
                can_wait = len(batches) == 1 and worker in self._patient
                commands.append(ToWorker(worker.name, [_message(batch) for batch in batches], can_wait))
            self._workers = {}
            self._patient.clear()
        if self._clients:
            for client, batches in self._clients.items():
                if not client.id:  # nobody: it only wants what is kept for others
                    continue
                commands.append(ToClient(client.id, [_message(batch, client.let_go) for batch in batches]))
            self._clients = {}
        if self._retired:
            commands += [Retired(name) for name in self._retired]
            self._retired = []
        if self._looks:
            commands += self._looks
            self._looks = []
        return commands


def _append(table: dict[Any, list[_Batch]], recipient: object, kind: type[Message], item: object) -> None:
    batches = table.get(recipient)
    if batches is None:
        table[recipient] = [(kind, [item])]
    elif batches[-1][0] is kind:
        batches[-1][1].append(item)
    else:
        batches.append((kind, [item]))


def _extend(batches: list[_Batch], kind: type[Message], items: list[Any]) -> None:
    """The same for many; the list is ours from now on."""
    if batches and batches[-1][0] is kind:
        batches[-1][1].extend(items)
    else:
        batches.append((kind, items))


def _message(batch: _Batch, let_go: int = 0) -> Message:
    kind, items = batch
    if kind is Compute:
        return Compute(items)
    if kind is KeysDone:
        return KeysDone(items, let_go)
    if kind is FreeKeys:
        return FreeKeys(items)
    if kind is KeysPending:
        return KeysPending(items)
    if kind is ForgetFunctions:
        return ForgetFunctions(items)
    if kind is DefineFunctions:
        return DefineFunctions(dict(items))
    message: Message = items[0]
    return message
