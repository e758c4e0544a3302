"""A pickled call on its way, and making it: for functions that run beside tasks, in a worker or in the scheduler."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from nbcluster.errors import SerializationError
from nbcluster.protocol.exceptions import describe, dump_exception, stand_in
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.running import CallRaised, Returned
from nbcluster.protocol.serialize import dump, load

logger = logging.getLogger(__name__)


def dump_side_call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Payload:
    """Pickle a call.

    Raises:
        TypeError: it is no function.
        SerializationError: it, or an argument, cannot be pickled; says which.
    """
    if not callable(function):
        raise TypeError(f"function={function!r} is not callable")
    try:
        return dump((function, args, dict(kwargs)), "call", in_band=True)
    except SerializationError:
        for what, value in (("function", function), ("args", args), ("kwargs", dict(kwargs))):
            dump(value, what, in_band=True)  # raises, and names the culprit from there
        raise


class SideCall:
    """A call that was unpickled, to be made once. Arguments that its function asks for by name are filled in."""

    def __init__(self, call: Payload, given: Mapping[str, Any]) -> None:
        self.function, self.args, self.kwargs = load(call, "function")
        self.kwargs.update((name, value) for name, value in given.items() if takes(self.function, name))

    @property
    def is_coroutine(self) -> bool:
        """True if it has to be awaited."""
        function = self.function
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004
        )

    def make(self) -> Any:
        """Make it; a coroutine function returns what is to be awaited."""
        return self.function(*self.args, **self.kwargs)


def takes(function: Callable[..., Any], name: str) -> bool:
    """True if a function has a parameter of this name."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in functions have no signature
        return False


def returned(value: Any) -> Returned | CallRaised:
    """The outcome of a call that returned this."""
    try:
        return Returned(dump(value, "result", in_band=True))
    except Exception as error:
        return raised(error)


def raised(error: BaseException) -> CallRaised:
    """The outcome of a call that raised this."""
    logger.warning("A function that was run beside tasks failed: %s", describe(error))
    return CallRaised(dump_exception(error if isinstance(error, Exception) else stand_in(error)))
