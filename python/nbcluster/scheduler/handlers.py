"""What ``blocked_handlers=`` can close: the names of the scheduler's handlers, and what reaches each of them.

A name closes every way in which a client can reach what it stands for: its messages are refused before any is handled.
Tasks are clients, too.
Whoever holds the cluster itself (its object, its card, the Jupyter server) is no client, and is not concerned.

A new family of messages that belongs to a handler is added here, and nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

from msgspec.structs import replace

from nbcluster.commands import Close, GetLogs, GetTaskStream, GetView, Restart, Subscribe
from nbcluster.errors import SerializationError
from nbcluster.protocol import coordination as c
from nbcluster.protocol import inspection as i
from nbcluster.protocol.messages import Call, CallFailed, KeysCancelled, Scatter, SubmitGraph, SubmitTasks
from nbcluster.protocol.operating import ManageMemory, Rebalance, Replicate, RestartCluster, RestartWorkers, Retire
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.protocol.recreation import DescribeTask
from nbcluster.protocol.running import RegisterSchedulerPlugin, RunFunction, RunOnScheduler
from nbcluster.protocol.serialize import load


class SettingFlag:
    """What ``SetFlag`` reaches."""


class ClearingFlag:
    """What it reaches if it is to clear the flag."""


HANDLERS: Mapping[str, frozenset[type]] = {
    # What is sent again and again to a client that asked once. Not the events of a topic: they are for who subscribed.
    "feed": frozenset({Subscribe}),
    # Functions that run outside of tasks, in the workers or in the scheduler itself. So it is with what is unpickled
    # there for plugins: see ``unpickler`` and ``_without_code``.
    "run_function": frozenset({RunFunction, RunOnScheduler, RegisterSchedulerPlugin}),
    "scatter": frozenset({Scatter}),
    # The end of the cluster, at a client's request.
    "terminate": frozenset({Close}),
    # What is done to workers and data.
    "amm_handler": frozenset({ManageMemory}),
    "rebalance": frozenset({Rebalance}),
    "replicate": frozenset({Replicate}),
    "restart": frozenset({Restart, RestartCluster, RestartWorkers}),
    "restart_workers": frozenset({RestartWorkers}),
    "retire_workers": frozenset({Retire}),
    # Looking in. ``identity`` is what the cluster looks like: ``Client.scheduler_info``.
    "call_stack": frozenset({i.LookAtRuns}),
    "explain": frozenset({i.AskWhy}),
    "get_cluster_state": frozenset({i.AskState, i.LookAtState}),
    "get_logs": frozenset({GetLogs}),
    "get_runspec": frozenset({DescribeTask}),
    "get_story": frozenset({i.AskStory, i.LookAtStory}),
    "get_task_stream": frozenset({GetTaskStream}),
    "has_what": frozenset({i.AskHoldings}),
    "identity": frozenset({GetView}),
    "nbytes": frozenset({i.AskSizes}),
    "processing": frozenset({i.AskProcessing}),
    "profile": frozenset({i.LookAtProfile}),
    "versions": frozenset({i.LookAtVersions}),
    "who_has": frozenset({i.AskHolders}),
    # Coordination. A lock is a semaphore with one lease. What only ends or keeps up what was granted stays open.
    "semaphore_register": frozenset({c.AcquireLease, c.CountLeases}),
    "semaphore_acquire": frozenset({c.AcquireLease}),
    "semaphore_release": frozenset({c.ReleaseLease}),
    "semaphore_value": frozenset({c.CountLeases}),
    "semaphore_close": frozenset({c.CloseSemaphore}),
    "multi_lock_acquire": frozenset({c.AcquireLocks}),
    "multi_lock_release": frozenset({c.ReleaseLocks}),
    "event_wait": frozenset({c.AwaitFlag}),
    "event_set": frozenset({SettingFlag}),
    "event_clear": frozenset({ClearingFlag}),
    "event_is_set": frozenset({c.GetFlag}),
    "queue_create": frozenset({c.PutItem, c.GetItems, c.CountItems}),
    "queue_put": frozenset({c.PutItem}),
    "queue_get": frozenset({c.GetItems}),
    "queue_qsize": frozenset({c.CountItems}),
    "variable_set": frozenset({c.SetVariable}),
    "variable_get": frozenset({c.GetVariable}),
    "variable_delete": frozenset({c.DeleteVariable}),
    "publish_put": frozenset({c.Publish}),
    "publish_get": frozenset({c.GetDatasets}),
    "publish_list": frozenset({c.ListDatasets}),
    "publish_delete": frozenset({c.Unpublish}),
    "get_metadata": frozenset({c.GetMetadata}),
    "set_metadata": frozenset({c.SetMetadata}),
    "log_event": frozenset({c.LogEvent}),
    "events": frozenset({c.GetEvents}),
}
"""Messages, commands and questions by the name of the handler that they reach."""

Blocked = Mapping[type, str]
"""What is refused, and for the sake of which name."""


def check_handlers(names: object) -> list[str]:
    """Accept what ``blocked_handlers`` may be; None is none.

    Raises:
        TypeError, ValueError: names the value, and the handlers that there are.
    """
    known = ", ".join(sorted(HANDLERS))
    if names is None:
        return []
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"blocked_handlers={names!r} is not a list of names; there are {known}")
    unknown = sorted(set(names) - set(HANDLERS))
    if unknown:
        raise ValueError(
            f"blocked_handlers={names!r} names what is no handler: {', '.join(unknown)}; there are {known}"
        )
    return sorted(set(names))


def blocked_types(names: Collection[str]) -> Blocked:
    """Which messages to refuse."""
    return {kind: name for name in names for kind in HANDLERS[name]}


def split_blocked(messages: list[Message], blocked: Blocked) -> tuple[list[Message], list[Message]]:
    """What a client may ask, in order, and the refusals of the rest."""
    allowed: list[Message] = []
    refusals: list[Message] = []
    for message in messages:
        name = blocked.get(_reached(message)) if blocked else None
        if name is None:
            allowed.append(_without_code(message) if RunFunction in blocked else message)
        else:
            refusals.append(_refusal(message, name))
    return allowed, refusals


def unpickler(blocked: Blocked) -> Callable[[Payload, str], Any]:
    """What opens data of clients for code that runs in the scheduler: who unpickles runs what the sender made up."""
    return _refuse if RunFunction in blocked else load


def _refuse(payload: Payload, what: str) -> NoReturn:
    raise SerializationError(f"an {what} of a client is not unpickled in the scheduler, for 'run_function' is blocked")


def _without_code(message: Message) -> Message:
    """What is submitted, without the annotations that users made up: only plugins of the scheduler would see them."""
    if isinstance(message, SubmitTasks | SubmitGraph) and message.options.annotations:
        message = replace(message, options=replace(message.options, annotations=b""))
    if isinstance(message, SubmitGraph) and any(task.options and task.options.annotations for task in message.tasks):
        plain = [
            replace(task, options=task.options and replace(task.options, annotations=b"")) for task in message.tasks
        ]
        message = replace(message, tasks=plain)
    return message


def _reached(message: Message) -> type:
    """What a message is about: what is in it, for those that bring something else."""
    if isinstance(message, Call):
        return type(message.command)
    if isinstance(message, i.Inspect):
        question = message.question
        return type(question.look if isinstance(question, (i.AskWorkers, i.AskScheduler)) else question)
    if isinstance(message, c.SetFlag):
        return SettingFlag if message.value else ClearingFlag
    return type(message)


def _refusal(message: Message, name: str) -> Message:
    why = f"The {name!r} handler has been explicitly disallowed in Scheduler, possibly due to security concerns."
    if isinstance(message, Scatter):  # whatever the client means by these keys by then: it is refused as well
        return KeysCancelled([item.key for item in message.items], "handler-blocked", why, let_go=sys.maxsize)
    number: int = message.id if isinstance(message, Call) else message.request  # type: ignore[attr-defined]
    return CallFailed(number, "BlockedHandlerError", why)
