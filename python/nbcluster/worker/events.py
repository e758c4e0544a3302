"""What can happen to a worker, as its core sees it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from nbcluster.protocol.messages import (
    ComputeTask,
    DataItem,
    FreeKeys,
    TaskDone,
    TaskErred,
    TaskRejoined,
    TaskRescheduled,
    TaskSeceded,
)
from nbcluster.types import Address, Key, RunId


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A run that succeeded: what the scheduler will be told, and the result, which the core only hands on."""

    done: TaskDone
    value: Any
    told: bool = False
    """The thread has told the scheduler itself."""


class InputsLost(msgspec.Struct, frozen=True, gc=False):
    """A run that could not begin: these inputs were on disk here, and can no longer be read."""

    key: Key
    run_id: RunId
    inputs: list[Key]


class TakenUp(msgspec.Struct, frozen=True, gc=False):
    """A run that a thread has read from the scheduler's link itself, and begun."""

    task: ComputeTask


OtherOutcome = TaskErred | TaskRescheduled | InputsLost | TaskSeceded | TaskRejoined | TakenUp | FreeKeys
Outcome = Finished | OtherOutcome
"""How a run began, ended, or goes on: made in the executing thread. And what that thread has read for the loop."""


class FromScheduler(NamedTuple):
    """Messages of the scheduler, as they arrived together."""

    messages: list[Any]


class RunsEnded(NamedTuple):
    """Runs that ended since the last time, in that order."""

    outcomes: list[Outcome]


class RunsRecalled(NamedTuple):
    """The executor's answer to ``Recall``: these had not started, and will not."""

    request: int
    run_ids: list[RunId]


class DataArrived(NamedTuple):
    """A peer's answer to ``Fetch``; keys that it did not send, it does not have."""

    holder: Address
    items: list[DataItem]


class FetchFailed(NamedTuple):
    """A peer does not answer: nothing that ``Fetch`` asked of it will come."""

    holder: Address


Event = FromScheduler | RunsEnded | RunsRecalled | DataArrived | FetchFailed
