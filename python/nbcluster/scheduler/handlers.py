"""What ``blocked_handlers=`` can close: the names of the scheduler's handlers, and what reaches each of them.

A name closes every way in which a client can reach what it stands for: its messages are refused before any is handled.
Whoever holds the cluster itself (its object, its card, the Jupyter server) is no client, and is not concerned.

A new family of messages that belongs to a handler is added here, and nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

from nbcluster.commands import Close, GetLogs, GetTaskStream, GetView, Restart, Subscribe
from nbcluster.protocol.messages import Call, CallFailed, KeysCancelled, Scatter
from nbcluster.protocol.operating import RestartCluster, RestartWorkers
from nbcluster.protocol.records import Message
from nbcluster.protocol.running import RegisterSchedulerPlugin, RunFunction, RunOnScheduler

HANDLERS: Mapping[str, frozenset[type]] = {
    # What is sent again and again to a client that asked once.
    "feed": frozenset({Subscribe}),
    "get_logs": frozenset({GetLogs}),
    "get_task_stream": frozenset({GetTaskStream}),
    # What the cluster looks like: ``Client.scheduler_info``.
    "identity": frozenset({GetView}),
    "restart": frozenset({Restart, RestartCluster, RestartWorkers}),
    # Functions that run outside of tasks, in the workers or in the scheduler itself.
    "run_function": frozenset({RunFunction, RunOnScheduler, RegisterSchedulerPlugin}),
    "scatter": frozenset({Scatter}),
    # The end of the cluster, at a client's request.
    "terminate": frozenset({Close}),
}
"""Messages and commands by the name of the handler that they reach."""

Blocked = Mapping[type, str]
"""The types of message that are refused, and for the sake of which name."""


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
        name = blocked.get(type(message.command if isinstance(message, Call) else message))
        if name is None:
            allowed.append(message)
        else:
            refusals.append(_refusal(message, name))
    return allowed, refusals


def _refusal(message: Message, name: str) -> Message:
    why = f"The {name!r} handler has been explicitly disallowed in Scheduler, possibly due to security concerns."
    if isinstance(message, Scatter):  # whatever the client means by these keys by then: it is refused as well
        return KeysCancelled([item.key for item in message.items], "handler-blocked", why, let_go=sys.maxsize)
    number: int = message.id if isinstance(message, Call) else message.request  # type: ignore[attr-defined]
    return CallFailed(number, "BlockedHandlerError", why)
