"""What ``dask.annotate`` says at the time of a call, for tasks of every kind: ``submit``, ``map`` and graphs.

Keywords go before it, and what a graph says of some of its tasks before either. Dask is not imported for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from nbcluster.client import submission
from nbcluster.protocol.messages import TaskOptions

HEEDED = ("workers", "allow_other_workers", "resources", "retries", "priority")
"""The annotations that mean something to a scheduler; others are for whoever made them up."""


def in_force() -> dict[str, Any]:
    """Which annotations are in force here, of those that are heeded."""
    base = sys.modules.get("dask.base")
    said: Mapping[str, Any] = {} if base is None else getattr(base, "get_annotations", dict)()
    return {kind: said[kind] for kind in HEEDED if kind in said} if said else {}


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


def checked(given: Mapping[str, Any]) -> TaskOptions:
    """Options of keywords and annotations together, where it means nothing to allow other workers than all."""
    meaningless = () if given.get("workers") else ("workers", "allow_other_workers")
    return submission.options(**{name: value for name, value in given.items() if name not in meaningless})


class Annotated:
    """The options of the tasks of one call.

    Args:
        options: what the keywords of the call say.
        said: the annotations where it is made. A function among them is called with the key of each task.
        actors: the keys in a graph whose tasks make actors; True: all that are asked for.

    Raises:
        TypeError, ValueError: an annotation has a value that is not allowed.
    """

    def __init__(
        self, options: TaskOptions, said: Mapping[str, Any], actors: Collection[Any] | Literal[True] = ()
    ) -> None:
        self.options = options
        self.actors = actors
        self._by_key: dict[str, Callable[[Any], Any]] = {}
        if said:
            said = {**said, **{name: value for name, value in as_given(options).items() if value}}
            self._by_key = {name: value for name, value in said.items() if callable(value)}
            self._said = {name: value for name, value in said.items() if name not in self._by_key}
            self.options = checked(self._said)

    @property
    def differ(self) -> bool:
        """Whether it depends on its key how a task is to be run."""
        return bool(self._by_key)

    def of(self, key: Any) -> TaskOptions:
        """The options of the task with this key."""
        if not self._by_key:
            return self.options
        return checked({**self._said, **{name: value(key) for name, value in self._by_key.items()}})
