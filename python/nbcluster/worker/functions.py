"""The functions of a worker's tasks: each is unpickled once, by the first thread that calls it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nbcluster.errors import SerializationError
from nbcluster.protocol import serialize
from nbcluster.protocol.payload import Payload
from nbcluster.types import FunctionId


class FunctionTable:
    """Functions by id. Written by the event loop, read by all threads."""

    def __init__(self) -> None:
        self._defined: dict[FunctionId, tuple[Payload, threading.Lock]] = {}
        self._loaded: dict[FunctionId, Callable[..., Any]] = {}

    def __len__(self) -> int:
        return len(self._defined)

    def define(self, functions: Mapping[FunctionId, Payload]) -> None:
        """Learn functions, without unpickling them."""
        for function, payload in functions.items():
            if function not in self._defined:
                self._defined[function] = payload, threading.Lock()

    def forget(self, functions: Iterable[FunctionId]) -> None:
        """Drop functions; who is executing them has them already."""
        for function in functions:
            self._defined.pop(function, None)
            self._loaded.pop(function, None)

    def reload(self) -> None:
        """Unpickle all functions anew when they are next called."""
        self._loaded.clear()

    def get(self, function: FunctionId) -> Callable[..., Any]:
        """The function itself.

        Raises:
            SerializationError: it cannot be unpickled here, or was never defined or forgotten meanwhile.
        """
        loaded = self._loaded.get(function)
        return self._load(function) if loaded is None else loaded

    def _load(self, function: FunctionId) -> Callable[..., Any]:
        definition = self._defined.get(function)
        if definition is None:
            raise SerializationError(f"the function {function.hex()} is not defined here", path="function")
        payload, lock = definition
        with lock:  # two copies of a function would have two copies of its globals
            loaded = self._loaded.get(function)
            if loaded is None:
                loaded = serialize.load_function(payload)
                if self._defined.get(function) is definition:
                    self._loaded[function] = loaded
            return loaded
