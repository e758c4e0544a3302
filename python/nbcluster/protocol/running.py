"""Functions that run beside the tasks: at once on each worker, whatever its threads are busy with, or in the scheduler.

    client ── RunFunction ──▶ scheduler ── RunCall ──▶ worker
           ◀── FunctionRan ──           ◀── CallEnded ──

A call and its outcome are opaque to the scheduler, but for ``RunOnScheduler``, which is meant for it. A call that is
*kept* is also made by every worker that joins later, before it gets its first task: so plugins reach all workers.
"""

from __future__ import annotations

from typing import Literal

from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message, Record
from nbcluster.types import Address


class Returned(Record, frozen=True, tag=True):
    """A call that succeeded, with the pickled value."""

    value: Payload


class CallRaised(Record, frozen=True, tag=True):
    """A call that raised, with the pickled exception and its traceback."""

    error: Payload


class WorkerGone(Record, frozen=True, tag=True):
    """A call whose worker went before it answered."""

    cause: str


CallOutcome = Returned | CallRaised | WorkerGone


class KeptName(Record, frozen=True):
    """What a call that is kept is called. Those of nannies are made before those of workers."""

    kind: Literal["nanny", "worker"]
    name: str
    once: bool = False
    """One of this name that is kept already stays, and the call is not made."""


class RunFunction(Message, frozen=True):
    """Client to scheduler: have a call made by workers, and by later ones too if it is kept.

    ``call`` is the pickled ``(function, args, kwargs)``. Answered by ``FunctionRan``, or ``CallFailed``.
    """

    request: int
    call: Payload
    workers: list[str] | None = None
    """Names or addresses; None: all there are."""
    wait: bool = True
    """False: the answer is sent as soon as the workers have been told."""
    keep: KeptName | None = None
    drop: KeptName | None = None
    """Keep this one no more."""


class RunOnScheduler(Message, frozen=True):
    """Client to scheduler: make a call yourself; answered by ``FunctionRan``, under your own address."""

    request: int
    call: Payload
    wait: bool = True


class RegisterSchedulerPlugin(Message, frozen=True):
    """Client to scheduler: take this plugin, or (None) drop the one of this name; answered by ``FunctionRan``."""

    request: int
    name: str
    plugin: Payload | None = None
    once: bool = False
    """One of this name that is there already stays."""


class FunctionRan(Message, frozen=True):
    """Scheduler to client: how the calls ended, by the address of who made each."""

    request: int
    outcomes: dict[Address, CallOutcome]


class RunCall(Message, frozen=True):
    """Scheduler to worker: make this call now. Those with a ``turn`` are made one after the other."""

    number: int
    call: Payload
    turn: bool = False


class CallEnded(Message, frozen=True):
    """Worker to scheduler: the answer to ``RunCall``."""

    number: int
    outcome: Returned | CallRaised
