"""What ``dask.annotate`` says at the time of a call, for tasks of every kind: ``submit``, ``map`` and graphs.

Keywords go before it, and what a graph says of some of its tasks before either. Dask is not imported for it. What the
scheduler does not heed goes there all the same, pickled: its plugins, and whoever looks at tasks there, may know what
it means.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from msgspec.structs import replace

from nbcluster.client import submission
from nbcluster.protocol.messages import TaskOptions
from nbcluster.protocol.serialize import dump

HEEDED = ("workers", "allow_other_workers", "resources", "retries", "priority")
"""The annotations that mean something to a scheduler; others are for whoever made them up."""

_NOTHING_SAID: Mapping[str, Any] = {}


def in_force() -> Mapping[str, Any]:
    """Which annotations are in force here."""
    base = sys.modules.get("dask.base")
    get: Callable[[], Mapping[str, Any]] | None = getattr(base, "get_annotations", None)
    return _NOTHING_SAID if get is None else get()


@contextmanager
def set_aside() -> Iterator[None]:
    """What is in force is no annotation of what dask makes of a graph meanwhile, as when it optimizes one."""
    variable: ContextVar[Any] | None = getattr(sys.modules.get("dask.base"), "_annotations", None)
    if variable is None:
        yield
        return
    before = variable.set(None)
    try:
        yield
    finally:
        variable.reset(before)


def as_given(options: TaskOptions) -> dict[str, Any]:
    """Options as keywords of ``submission.options``."""
    return {
        "workers": options.workers,
        "allow_other_workers": options.allow_other_workers,
        "resources": options.resources,
        "retries": options.retries,
        "priority": options.priority,
        "actor": options.actor,
    }


def checked(given: Mapping[str, Any], others: bytes = b"") -> TaskOptions:
    """Options of keywords and annotations together, where it means nothing to allow other workers than all.

    Args:
        given: those that are heeded.
        others: all other annotations, pickled.
    """
    meaningless = () if given.get("workers") else ("workers", "allow_other_workers")
    options = submission.options(**{name: value for name, value in given.items() if name not in meaningless})
    return replace(options, annotations=others) if others else options


def pickled(others: Mapping[str, Any]) -> bytes:
    """Annotations that nobody here heeds, as they travel.

    Raises:
        SerializationError: one of them cannot be pickled; ``path`` says which.
    """
    return dump(dict(others), "annotations", in_band=True).data if others else b""


class Annotated:
    """The options of the tasks of one call.

    Args:
        options: what the keywords of the call say.
        said: the annotations where it is made. A function among them is called with the key of each task.
        actors: the keys in a graph whose tasks make actors; True: all that are asked for.

    Raises:
        TypeError, ValueError: an annotation has a value that is not allowed.
        SerializationError: one cannot be pickled.
    """

    def __init__(
        self, options: TaskOptions, said: Mapping[str, Any], actors: Collection[Any] | Literal[True] = ()
    ) -> None:
        self.options = options
        self.actors = actors
        self.differ = False
        """Whether it depends on its key how a task is to be run, or what is said of it."""
        self._given: Mapping[str, Any] = _NOTHING_SAID
        self._others: Mapping[str, Any] = _NOTHING_SAID
        if said:
            heeded = {name: said[name] for name in HEEDED if name in said}
            self._given = {**heeded, **{name: value for name, value in as_given(options).items() if value}}
            self._others = {name: value for name, value in said.items() if name not in HEEDED}
            self.differ = any(callable(value) for part in (self._given, self._others) for value in part.values())
            plain = {name: value for name, value in self._given.items() if not callable(value)}
            self.options = checked(plain, b"" if self.differ else pickled(self._others))

    def of(self, key: Any) -> TaskOptions:
        """The options of the task with this key."""
        if not self.differ:
            return self.options
        return checked(_for_key(self._given, key), pickled(self.others(key)))

    def others(self, key: Any) -> dict[str, Any]:
        """What is said of the task with this key that nobody here heeds."""
        return _for_key(self._others, key)


def _for_key(said: Mapping[str, Any], key: Any) -> dict[str, Any]:
    return {name: value(key) if callable(value) else value for name, value in said.items()}
