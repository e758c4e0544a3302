"""Results in a worker's memory: live objects, or the pickles that arrived and that nobody needed yet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from nbcluster.protocol import serialize
from nbcluster.protocol.payload import Payload
from nbcluster.types import Key


class Datum:
    """One result. Unpickled when it is first used, in the thread that uses it; pickled when a peer asks."""

    __slots__ = ("_lock", "_payload", "_value", "nbytes", "own_nbytes", "type_name")

    def __init__(self, value: Any, nbytes: int, type_name: str = "", *, payload: Payload | None = None) -> None:
        self._value = value
        self._payload = payload
        self._lock = None if payload is None else threading.Lock()
        self.nbytes = nbytes
        self.own_nbytes = 0 if payload is not None and payload.is_shared else nbytes
        """Bytes of this process's own memory: what is shared is the cluster's, and counted once."""
        self.type_name = type_name

    @classmethod
    def pickled(cls, payload: Payload, nbytes: int, type_name: str = "") -> Datum:
        """A result as it arrived."""
        if payload.is_live:
            return cls(payload.frames[0].live, nbytes, type_name)
        return cls(None, nbytes, type_name, payload=payload)

    def __repr__(self) -> str:
        return f"<Datum {self.type_name or 'of unknown type'} {self.nbytes} B>"

    def load(self) -> Any:
        """The object; the same one for everybody.

        Raises:
            SerializationError: it cannot be unpickled here.
        """
        lock = self._lock
        if lock is not None:
            with lock:
                if self._payload is not None:
                    self._value = serialize.load(self._payload, "data")
                    self._payload = None
        return self._value

    def dump(self) -> Payload:
        """Pickled, for a peer. Large buffers are not copied.

        Raises:
            SerializationError: it cannot be pickled.
        """
        payload = self._payload
        return serialize.dump(self._value, "result") if payload is None else payload

    @property
    def is_pickled(self) -> bool:
        """True if ``dump`` costs nothing."""
        return self._payload is not None


class MemoryStore:
    """Results by key, and how many bytes they are."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._data: dict[Key, Datum] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._data)} results, {self.nbytes} B>"

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._data)

    def __contains__(self, key: Key) -> bool:
        return key in self._data

    def get(self, key: Key) -> Datum | None:
        """What is stored under a key."""
        return self._data.get(key)

    def put(self, key: Key, datum: Datum) -> None:
        """Store a result, in place of an older one."""
        old = self._data.get(key)
        if old is not None:
            self.nbytes -= old.own_nbytes
        self._data[key] = datum
        self.nbytes += datum.own_nbytes

    def drop(self, key: Key) -> None:
        """Forget a result; whoever uses it keeps it alive.

        Raises:
            KeyError: it is not there.
        """
        self.nbytes -= self._data.pop(key).own_nbytes

    def clear(self) -> None:
        """Forget everything."""
        self._data.clear()
        self.nbytes = 0
