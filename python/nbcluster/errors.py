"""Every exception of nbcluster, as one tree.

The type says whose fault it is, the attributes carry the facts, the text says what happened, to what, and
what to do next. All of them survive pickling with their attributes.

    NbclusterError
    ├── CommError                   a connection could not be made, or broke
    │   ├── CommClosedError
    │   ├── NotOurServerError       the Jupyter server did not start this kernel
    │   ├── HandshakeError          the peer is not who it should be, or speaks another version
    │   └── ProtocolError           the peer sent what no peer of ours sends
    ├── SerializationError          an argument, a result or an exception cannot be pickled or unpickled
    ├── RemoteError                 a task raised what cannot be rebuilt here: its stand-in
    ├── ClusterError                the cluster cannot do what it was asked
    │   ├── ClusterClosedError
    │   ├── WorkerStartTimeoutError
    │   └── BlockedHandlerError
    ├── ClosedClientError
    ├── KilledWorker                the task's worker died under it, too often
    ├── WorkerLostData              scattered data died with its only holder
    │   └── ActorLostError          an actor died with its worker
    └── CancelledError              (also a concurrent.futures.CancelledError)
        ├── FutureCancelledError
        └── FuturesCancelledError
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any

TimeoutError = asyncio.TimeoutError
"""The one timeout: ``asyncio.TimeoutError``, which from Python 3.11 on is the built-in."""


class NbclusterError(Exception):
    """The root of the tree. Facts are keyword arguments: they become attributes and survive pickling."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.__dict__.update(facts)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[NbclusterError], args: tuple[Any, ...], facts: dict[str, Any]) -> NbclusterError:
    # Of several bases, e.g. RuntimeError and OSError, it is the one whose objects are laid out like ours.
    base: Any = cls.__base__
    error: NbclusterError = base.__new__(cls, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class CommError(NbclusterError, OSError):
    """A connection could not be made, or broke."""


class CommClosedError(CommError):
    """The connection is closed."""


class HandshakeError(CommError):
    """The peer could not prove that it holds the cluster's token, or speaks another protocol version."""


class NotOurServerError(CommError):
    """The Jupyter server does not know this kernel: it is not the one that started it."""


class ProtocolError(CommError):
    """The peer sent bytes that no nbcluster sends; the connection was dropped."""


class SerializationError(NbclusterError, TypeError):
    """Something cannot be pickled; ``path`` leads to the culprit, e.g. ``args[0].model._lock``."""

    path: str


class SharedDataGoneError(NbclusterError, LookupError):
    """Shared data was asked for that nobody held any more: it was cancelled, released or recomputed meanwhile."""


class RemoteError(NbclusterError):
    """Stands in for an exception of a task that cannot travel; its cause says what hinders it.

    So it does for one that must not be raised elsewhere: ``SystemExit`` would end who asks for the result.

    Attributes:
        type_name: the type of the exception that was raised, e.g. ``"library.Conflict"``.
        text: its text.
    """

    type_name: str
    text: str

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(f"{type_name}: {text}" if text else type_name, type_name=type_name, text=text)


class ClusterError(NbclusterError, RuntimeError):
    """The cluster cannot do what it was asked."""


class ClusterClosedError(ClusterError):
    """The cluster is closed or closing."""


class WorkerStartTimeoutError(ClusterError, TimeoutError):
    """Fewer workers than asked for arrived in time."""

    available: int
    expected: int

    def __init__(self, available: int, expected: int, timeout: float, said: str = "") -> None:
        super().__init__(
            f"Only {available}/{expected} workers arrived after {timeout:g} s; "
            f"{said or 'cluster.get_logs() shows what the others said'}",
            available=available,
            expected=expected,
        )


class BlockedHandlerError(ClusterError, ValueError):
    """The handler is on the cluster's ``blocked_handlers`` list."""

    handler: str


class ClosedClientError(NbclusterError, RuntimeError):
    """The client is closed: its futures can no longer be waited for."""


class KilledWorker(NbclusterError):
    """Workers died again and again while they ran this task.

    Attributes:
        task: the key.
        attempts: how many workers died while they ran it.
        last_worker: the address of the last one.
        cause: how that one ended: exit code or signal, memory at the end.
        log: its last lines.

    Example:
        >>> import os
        >>> client.submit(os._exit, 1).result()  # doctest: +SKIP
        Traceback (most recent call last):
        nbcluster.errors.KilledWorker: ...
    """

    task: str
    attempts: int
    last_worker: str
    cause: str
    log: str

    def __init__(self, task: str, attempts: int, last_worker: str, cause: str = "", log: str = "") -> None:
        workers = "worker" if attempts == 1 else "different workers"
        text = f"{task!r} was run on {attempts} {workers} and each died while running it."
        text += f" The last one, {last_worker}, {cause or 'closed its connection'}."
        if log:
            text += f"\nIts last words:\n{log}"
        super().__init__(text, task=task, attempts=attempts, last_worker=last_worker, cause=cause, log=log)


class WorkerLostData(NbclusterError):
    """Data that was scattered, and that no task can recompute, died with the worker that held it."""

    key: str


class ActorLostError(WorkerLostData, RuntimeError):
    """An actor is gone: its worker died, or its future was cancelled."""


class CancelledError(NbclusterError, concurrent.futures.CancelledError):
    """Cancelled, and by whom, and why."""


class FutureCancelledError(CancelledError):
    """The future was cancelled.

    Attributes:
        key: the future's key.
        reason: one word, e.g. ``"cancelled"``, ``"client-closed"``, ``"worker-lost-data"``.
        msg: who did it, and why.

    Example:
        >>> future = client.submit(pow, 2, 11)
        >>> client.cancel(future, reason="bored")
        >>> try:
        ...     future.result()
        ... except FutureCancelledError as error:
        ...     error.reason
        'bored'
    """

    key: str
    reason: str
    msg: str

    def __init__(self, key: str, reason: str, msg: str = "") -> None:
        text = f"{key} cancelled for reason: {reason}."
        super().__init__(f"{text}\n{msg}" if msg else text, key=key, reason=reason, msg=msg)


class FuturesCancelledError(CancelledError):
    """Several futures were cancelled: which, by whom and why. ``error_groups`` has them by reason."""

    error_groups: dict[str, list[FutureCancelledError]]

    def __init__(self, errors: Iterable[FutureCancelledError]) -> None:
        groups: dict[str, list[FutureCancelledError]] = {}
        alike: dict[tuple[str, str], list[str]] = {}
        for error in errors:
            groups.setdefault(error.reason, []).append(error)
            alike.setdefault((error.reason, error.msg), []).append(error.key)
        lines = []
        for (reason, msg), keys in alike.items():
            shown = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
            number = f"{len(keys)} future{'s' if len(keys) > 1 else ''} ({shown})"
            lines.append(f"{number} cancelled for reason: {reason}. {msg}".rstrip())
        super().__init__("\n".join(lines), error_groups=groups)


class Reschedule(Exception):
    """Raise it in a task to have it run again later, perhaps on another worker.

    Example:
        >>> from pathlib import Path
        >>> def once_it_is_there(path):
        ...     if not path.exists():
        ...         raise Reschedule
        ...     return path.name
        >>> future = client.submit(once_it_is_there, Path("results").absolute())
        >>> Path("results").mkdir()
        >>> future.result()
        'results'
    """
