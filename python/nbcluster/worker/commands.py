"""What a worker's core wants done. Commands of one batch are carried out in order, without a pause."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from nbcluster.protocol.messages import (
    DataAdded,
    DataItem,
    MissingData,
    ReplicasFailed,
    StoredData,
    TaskDone,
    TasksDone,
)
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Key, RunId
from nbcluster.worker.events import Finished
from nbcluster.worker.state import WorkerTask


class Execute(NamedTuple):
    """Queue these runs for the threads. Inputs that are ``None`` are in the store."""

    tasks: list[WorkerTask]


class Capture(NamedTuple):
    """Take from the store what is there of these waiting runs' inputs.

    It may be freed before the rest arrives.
    """

    tasks: list[WorkerTask]


class KeepResults(NamedTuple):
    """Store what runs returned."""

    results: list[Finished]


class KeepData(NamedTuple):
    """Store what others sent."""

    items: list[DataItem]


class Drop(NamedTuple):
    """Remove from the store."""

    keys: list[Key]


class Unqueue(NamedTuple):
    """Take these runs from the queue if they have not started; if they have, nobody waits for them."""

    run_ids: list[RunId]


class Recall(NamedTuple):
    """Take these runs from the queue; answer with ``RunsRecalled``, naming those that had not started."""

    request: int
    run_ids: list[RunId]


class Fetch(NamedTuple):
    """Ask a peer for data; answer with ``DataArrived`` or ``FetchFailed``."""

    holder: Address
    keys: list[Key]


class Send(NamedTuple):
    """Tell the scheduler."""

    messages: list[Message]


Command = Execute | Capture | KeepResults | KeepData | Drop | Unqueue | Recall | Fetch | Send

_Batch = TypeVar("_Batch", Execute, Capture, KeepData, Drop, Unqueue)


class Batches:
    """Commands and messages in the making. What is alike and follows one another becomes one."""

    __slots__ = ("_commands", "_messages")

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._messages: list[tuple[type[Message], list[Any]]] = []

    def add(self, kind: type[_Batch], item: Any) -> None:
        """Have something done to one more run, key or datum."""
        commands = self._commands
        if commands and type(commands[-1]) is kind:
            commands[-1][0].append(item)
        else:
            commands.append(kind([item]))

    def execute(self, runs: list[WorkerTask]) -> None:
        """Have runs begun. The list is ours from now on."""
        commands = self._commands
        if commands and type(commands[-1]) is Execute:
            commands[-1].tasks.extend(runs)
        else:
            commands.append(Execute(runs))

    def keep(self, results: list[Finished]) -> None:
        """Have results stored. The list is ours from now on."""
        self._commands.append(KeepResults(results))

    def drop(self, keys: list[Key]) -> None:
        """Have data dropped."""
        self._commands.append(Drop(keys))

    def command(self, command: Recall | Fetch) -> None:
        """Have something done that stands alone."""
        self._commands.append(command)

    def done(self, runs: list[TaskDone]) -> None:
        """Report successes. The list is ours from now on."""
        messages = self._messages
        if messages and messages[-1][0] is TasksDone:
            messages[-1][1].extend(runs)
        elif runs:
            messages.append((TasksDone, runs))

    def holds(self, stored: StoredData) -> None:
        """Report data that is now here."""
        self._message(DataAdded, stored)

    def replica_failed(self, missing: MissingData) -> None:
        """Report a copy that could not be made."""
        self._message(ReplicasFailed, missing)

    def send(self, message: Message) -> None:
        """Report anything else."""
        self._messages.append((type(message), [message]))

    def _message(self, kind: type[Message], item: Any) -> None:
        messages = self._messages
        if messages and messages[-1][0] is kind:
            messages[-1][1].append(item)
        else:
            messages.append((kind, [item]))

    def take(self) -> list[Command]:
        """The commands of one event, in order; messages last."""
        commands, self._commands = self._commands, []
        if self._messages:
            messages, self._messages = self._messages, []
            commands.append(Send([_merge(kind, items) for kind, items in messages]))
        return commands


def _merge(kind: type[Message], items: list[Any]) -> Message:
    if kind is TasksDone:
        return TasksDone(items)
    if kind is DataAdded:
        return DataAdded(items)
    if kind is ReplicasFailed:
        return ReplicasFailed(items)
    message: Message = items[0]
    return message
