"""What becomes of a message that cannot be sent: whoever waits for it to be answered, or done, is told."""

from __future__ import annotations

import logging
from collections.abc import Callable

from nbcluster.client.states import PENDING, FutureState
from nbcluster.errors import CommError, SerializationError
from nbcluster.protocol.calls import Calls
from nbcluster.protocol.exceptions import dump_exception
from nbcluster.protocol.messages import Raised, RetryKeys, Scatter, SubmitGraph, SubmitTasks, WantKeys
from nbcluster.protocol.records import Message
from nbcluster.types import Key

logger = logging.getLogger("nbcluster.client")


def refuse(message: Message, error: Exception, calls: Calls, find: Callable[[Key], FutureState | None]) -> None:
    """Fail the question, or the futures, that the message is about.

    Args:
        message: what cannot be sent.
        error: why.
        calls: the open questions of the link.
        find: the state of a key, if somebody holds it.
    """
    if not isinstance(error, CommError):
        error = SerializationError(f"this cannot be sent to the scheduler: {error}")
    number = getattr(message, "request", getattr(message, "id", None))
    if number is not None:
        calls.fail(number, error)
        return
    failure = Raised(dump_exception(error))
    for key in _awaited(message):
        state = find(key)
        if state is not None and state.status == PENDING:
            state.fail(failure, key)
    logger.error("A %s could not be sent; what others say goes on: %s", type(message).__name__, error)


def _awaited(message: Message) -> list[Key]:
    """The keys whose states somebody may wait for, once this is said."""
    if isinstance(message, (SubmitTasks, WantKeys, RetryKeys)):
        return message.keys
    if isinstance(message, SubmitGraph):
        return [task.key for task in message.tasks]
    return [item.key for item in message.items] if isinstance(message, Scatter) else []
