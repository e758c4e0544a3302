"""Why a task is not done: what the scheduler says of it, as a record, and the same in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import field

from nbcluster.protocol.records import Record
from nbcluster.types import Address, Key
from nbcluster.units import format_duration

# The reasons.
UNKNOWN: Final = "unknown"
UNNEEDED: Final = "unneeded"
SCATTERING: Final = "scattering"
WAITING: Final = "waiting"
NO_WORKERS: Final = "no workers"
NO_SUCH_WORKER: Final = "no such worker"
NO_RESOURCE: Final = "no such resource"
PAUSED: Final = "paused"
RETIRING: Final = "retiring"
RESOURCE_IN_USE: Final = "resource in use"
QUEUED: Final = "queued"
ASSIGNED: Final = "assigned"
FETCHING: Final = "fetching"
RUNNING: Final = "running"
FINISHED: Final = "finished"
ERRED: Final = "erred"
CANCELLED: Final = "cancelled"
REASONS: Final = (
    UNKNOWN,
    UNNEEDED,
    SCATTERING,
    WAITING,
    NO_WORKERS,
    NO_SUCH_WORKER,
    NO_RESOURCE,
    PAUSED,
    RETIRING,
    RESOURCE_IN_USE,
    QUEUED,
    ASSIGNED,
    FETCHING,
    RUNNING,
    FINISHED,
    ERRED,
    CANCELLED,
)

_NAMED = 3
"""So many of a list are named in a sentence."""


class Past(Record, frozen=True):
    """What happened to a task before."""

    retried: int = 0
    """How often it was run again because it raised."""
    retries_left: int = 0
    rerun: int = 0
    """How often it was given back without a result: rescheduled, recalled, or its data was not to be had."""
    deaths: int = 0
    """How many workers died while they ran it."""
    lost: int = 0
    """How often its result was there, and was lost."""


class Situation(Record, frozen=True):
    """Where one task stands."""

    key: Key
    reason: str
    """One of ``REASONS``."""
    seconds: float | None = None
    """How long it has stood there; None: longer than anybody remembers."""
    worker: Address = ""
    """Who has to run it, or runs it."""
    name: str = ""
    """That worker's name."""
    ahead: int = 0
    """How many tasks come first: in the queue, or on that worker."""
    workers: list[str] = field(default_factory=list)
    """To which workers it is restricted, or which could run it, or have it."""
    resources: dict[str, float] = field(default_factory=dict)
    """What it occupies, as far as that is the reason."""
    detail: str = ""
    """Of a failure: what happened."""
    blamed: Key = ""
    """Of a failure: the task that failed first."""
    past: Past = Past()
    abandoned: list[Key] = field(default_factory=list)
    """Of what was sent to a worker: which tasks that still runs, though nobody wants them any more."""


class Explanation(Record, frozen=True, tag=True):
    """Why a task is not done."""

    situation: Situation
    waiting_for: list[Key] = field(default_factory=list)
    """The results that it needs and that are not there: the first of them."""
    waiting_count: int = 0
    roots: list[Situation] = field(default_factory=list)
    """Those that everything waits for in the end, and that themselves wait for no other: the first of them."""
    root_count: int = 0


def sentence(said: Explanation) -> str:
    """The whole explanation in words."""
    situation = said.situation
    if situation.reason != WAITING:
        return describe(situation)
    count = said.waiting_count
    listed = _listed(said.waiting_for, count)
    needed = f"{count} results ({listed})" if count != 1 else f"the result of {listed}"
    text = f"{situation.key!r} has been waiting{_for(situation)} for {needed}{_past(situation)}."
    roots = [describe(root) for root in said.roots]
    if roots:
        more = said.root_count - len(said.roots)
        text += " " + " ".join(roots)
        if more > 0:
            text += f" (And {more} more.)"
    return text


def describe(situation: Situation) -> str:
    """Where one task stands, in words."""
    text = _where(situation)
    return f"{situation.key!r} {text}{_past(situation)}."


def _where(at: Situation) -> str:
    return _SENTENCES[at.reason](at)


def _for(at: Situation) -> str:
    return "" if at.seconds is None else f" for {_duration(at.seconds)}"


def _ago(at: Situation) -> str:
    if at.seconds is None:
        return " long ago"
    return " just now" if at.seconds < 0.1 else f" {_duration(at.seconds)} ago"


def _on(at: Situation) -> str:
    return f"worker {at.name or at.worker}" + (f" ({at.worker})" if at.name and at.worker else "")


def _behind(count: int) -> str:
    return "nothing" if not count else "1 other task" if count == 1 else f"{count} other tasks"


def _resources(at: Situation) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in at.resources.items())


def _restricted(at: Situation) -> str:
    return f" of those that it is restricted to ({_listed(at.workers, len(at.workers))})" if at.workers else ""


def _erred(at: Situation) -> str:
    cause = f": {at.detail}" if at.detail else ""
    if at.blamed and at.blamed != at.key:
        return f"failed because {at.blamed!r} failed, which it needs{cause}"
    return f"failed{cause}"


def _assigned(at: Situation) -> str:
    text = f"was sent to {_on(at)}{_ago(at)}"
    if at.ahead:
        text += f", where {_behind(at.ahead)} came before it"
    if at.abandoned:
        many = len(at.abandoned) > 1
        listed = _listed(at.abandoned, len(at.abandoned))
        text += (
            f"; {listed} still run{'' if many else 's'} there, though nobody wants {'them' if many else 'it'} any more"
        )
    return text


_SENTENCES: dict[str, Callable[[Situation], str]] = {
    UNKNOWN: lambda at: (
        "is not known to the scheduler: it was never submitted, or nobody held a future for it any more"
    ),
    UNNEEDED: lambda at: "is not being computed, because nobody holds a future for it and no task needs it",
    SCATTERING: lambda at: "is data that no worker has taken yet",
    WAITING: lambda at: f"waits{_for(at)} for other results",
    NO_WORKERS: lambda at: "cannot run: there are no workers",
    NO_SUCH_WORKER: lambda at: (
        f"cannot run: it is restricted to {_listed(at.workers, len(at.workers))}, and no such worker is connected"
    ),
    NO_RESOURCE: lambda at: f"cannot run: no worker{_restricted(at)} has the resources {_resources(at)}",
    PAUSED: lambda at: (
        f"waits{_for(at)}: every worker that may run it is paused, for lack of memory "
        f"({_listed(at.workers, len(at.workers))})"
    ),
    RETIRING: lambda at: (
        f"waits{_for(at)}: every worker that may run it is about to leave ({_listed(at.workers, len(at.workers))})"
    ),
    RESOURCE_IN_USE: lambda at: (
        f"waits{_for(at)}: the resources {_resources(at)} that it needs are in use, "
        f"with {_behind(at.ahead)} before it in the queue"
    ),
    QUEUED: lambda at: (
        f"has been queued{_for(at)}{f', behind {_behind(at.ahead)}' if at.ahead else ', and is next'}: "
        f"all workers{_restricted(at)} are busy"
    ),
    ASSIGNED: _assigned,
    FETCHING: lambda at: (
        f"waits on {_on(at)} for its data, which is being fetched from {_listed(at.workers, len(at.workers))}"
    ),
    RUNNING: lambda at: f"has been running{_for(at)} on {_on(at)}",
    FINISHED: lambda at: f"is done; its result is with {_listed(at.workers, len(at.workers)) or 'the scheduler'}",
    ERRED: _erred,
    CANCELLED: lambda at: f"was cancelled{': ' + at.detail.rstrip('.') if at.detail else ''}",
}


def _past(at: Situation) -> str:
    past, parts = at.past, []
    if past.retried:
        left = "no retry is left" if not past.retries_left else f"{past.retries_left} more to go"
        parts.append(f"it raised, and was retried, {times(past.retried)}; {left}")
    if past.deaths:
        parts.append(f"{past.deaths} worker{'s' if past.deaths > 1 else ''} died while running it")
    if past.rerun:
        parts.append(f"it was given back to be run elsewhere {times(past.rerun)}")
    if past.lost:
        parts.append(f"its result was lost {times(past.lost)}")
    return f" ({'; '.join(parts)})" if parts else ""


def times(count: int) -> str:
    """``"once"``, ``"twice"``, ``"3 times"``."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _duration(seconds: float) -> str:
    return format_duration(max(seconds, 0.001))


def _listed(names: list[str], count: int) -> str:
    shown = ", ".join(repr(name) if "://" not in name else name for name in names[:_NAMED])
    return shown + (f" and {count - _NAMED} more" if count > _NAMED else "")
