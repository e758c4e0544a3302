"""Results in a worker's memory: live objects, or the pickles that arrived and that nobody needed yet.

What there is no room for is on disk, and is here by its name.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nbcluster.emptied import give_back
from nbcluster.protocol import serialize
from nbcluster.protocol.payload import Payload
from nbcluster.store.spill import SpillFile
from nbcluster.types import Key

if TYPE_CHECKING:
    from nbcluster.store.shared import SharedStore

SPILL_MIN = 64 * 1024
"""Bytes from which on a result is worth a file."""

SETTLED = 2.0
"""Seconds after which who was told that a result is in shared memory has surely looked at it."""

_NOT_LIVE: Final = object()
"""In place of the object: it is pickled, or on disk."""


class Datum(msgspec.Struct, eq=False):
    """One result, as a live object, as a pickle, or on disk.

    Unpickled when it is first used, in the thread that uses it; pickled when a peer asks. Once it is on disk it stays
    there: each use reads it, and leaves nothing behind.

    There may be very many. Python's garbage collector does not look at a record of this kind if it holds nothing but
    what it need not look at, either, such as a number.
    """

    _value: Any
    nbytes: int
    type_name: str = ""
    shared_nbytes: int = 0
    """Bytes in memory that all processes see."""
    _payload: Payload | None = None
    _lock: threading.Lock | None = None
    _file: SpillFile | None = None
    moved: bool = False
    """It is there because this worker has put it there: it is up to us to take it away again."""
    used: float = 0.0
    """When it was moved, or somebody here last looked for it since."""

    @classmethod
    def pickled(cls, payload: Payload, nbytes: int, type_name: str = "") -> Datum:
        """A result as it arrived."""
        if payload.is_live:
            return cls(payload.frames[0].live, nbytes, type_name)
        return cls(_NOT_LIVE, nbytes, type_name, nbytes if payload.is_shared else 0, payload, threading.Lock())

    @property
    def own_nbytes(self) -> int:
        """Bytes of this process's own memory: what is shared is the cluster's, and counted once."""
        return self.nbytes - self.shared_nbytes if self._file is None else 0

    def __repr__(self) -> str:
        return f"<Datum {self.type_name or 'of unknown type'} {self.nbytes} B>"

    def load(self) -> Any:
        """The object; the same one for everybody, as long as it is in memory.

        Raises:
            SerializationError: it cannot be unpickled here.
            SpillError: it was on disk, and is no more.
        """
        value = self._value
        if value is not _NOT_LIVE:
            return value
        file = self._file
        if file is None:
            value = self._unpickle()
            if value is not _NOT_LIVE:
                return value
            file = self._file
            assert file is not None
        return serialize.load(file.read(), "data")

    def _unpickle(self) -> Any:
        assert self._lock is not None
        with self._lock:
            payload = self._payload
            if payload is not None and self._value is _NOT_LIVE:
                value = serialize.load(payload, "data")
                if payload.is_shared and type(value) is bytes:
                    return value  # a copy, which would be beside what is shared for as long as that is
                self._value = value
                if not payload.is_shared:
                    self._payload = None
            return self._value

    def dump(self, shared: SharedStore | None = None) -> Payload:
        """Pickled, for a peer. Large buffers are not copied.

        Args:
            shared: where what is on disk may be read to.

        Raises:
            SerializationError: it cannot be pickled.
            SpillError: it was on disk, and is no more.
        """
        value, payload = self._value, self._payload
        if payload is not None:
            return payload
        if value is not _NOT_LIVE:
            return serialize.dump(value, "result")
        file = self._file
        return self.dump(shared) if file is None else file.read(shared)

    def shared_as(self, payload: Payload) -> None:
        """It has been copied into shared memory: from now on ``dump`` tells where."""
        self._payload = payload

    def spill(self, file: SpillFile) -> bool:
        """Keep it there, and no longer in memory. False if it is just being unpickled: never waits for that.

        Threads that are in ``load`` or ``dump`` get it from where they find it.
        """
        lock = self._lock
        if lock is not None and not lock.acquire(blocking=False):
            return False
        self._file = file  # first: at no moment is it nowhere
        self._value, self._payload = _NOT_LIVE, None
        self.shared_nbytes = 0
        if lock is not None:
            lock.release()
        return True

    @property
    def spilled_nbytes(self) -> int:
        """Bytes on disk."""
        return 0 if self._file is None else self._file.nbytes

    @property
    def is_pickled(self) -> bool:
        """True if ``dump`` costs nothing."""
        return self._payload is not None

    @property
    def is_spilled(self) -> bool:
        """True if it is on disk."""
        return self._file is not None


class MemoryStore:
    """Results by key, how many bytes they are, and which large ones were used least recently.

    Args:
        clock: seconds, from anywhere.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.nbytes = 0
        """In this process's memory."""
        self.shared_nbytes = 0
        """In memory that all processes see."""
        self.spilled_nbytes = 0
        """On disk."""
        self._data: dict[Key, Datum] = {}
        self._large: OrderedDict[Key, Datum] = OrderedDict()
        """What is worth spilling, coldest first; small ones pay nothing for the order."""
        self.moved_nbytes = 0
        """Of what is in shared memory, what we have put there."""
        self._moved: OrderedDict[Key, Datum] = OrderedDict()
        """That, coldest first."""

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
        datum = self._data.get(key)
        if datum is not None:
            if datum.own_nbytes >= SPILL_MIN:
                if key in self._large:
                    self._large.move_to_end(key)
            elif datum.moved and key in self._moved:
                datum.used = self._clock()
                self._moved.move_to_end(key)
        return datum

    def put(self, key: Key, datum: Datum) -> None:
        """Store a result, in place of an older one."""
        if key in self._data:
            self.drop(key)
        self._data[key] = datum
        self.nbytes += datum.own_nbytes
        self.shared_nbytes += datum.shared_nbytes
        self.spilled_nbytes += datum.spilled_nbytes
        if datum.own_nbytes >= SPILL_MIN:
            self._large[key] = datum
        elif datum.moved and datum.shared_nbytes:
            datum.used = self._clock()
            self._moved[key] = datum
            self.moved_nbytes += datum.shared_nbytes

    def put_all(self, keys: Sequence[Key], data: Sequence[Datum]) -> None:
        """Store results, in place of older ones."""
        if _are_plain(data) and self._data.keys().isdisjoint(keys):
            self._data.update(zip(keys, data, strict=True))
            self.nbytes += sum([datum.nbytes for datum in data])
        else:
            for key, datum in zip(keys, data, strict=True):
                self.put(key, datum)

    def drop(self, key: Key) -> None:
        """Forget a result; whoever uses it keeps it alive.

        Raises:
            KeyError: it is not there.
        """
        self._forget(key, self._data.pop(key))

    def _forget(self, key: Key, datum: Datum) -> None:
        self.nbytes -= datum.own_nbytes
        self.shared_nbytes -= datum.shared_nbytes
        self.spilled_nbytes -= datum.spilled_nbytes
        if datum.own_nbytes >= SPILL_MIN:
            self._large.pop(key, None)
        elif datum.moved and datum.shared_nbytes:
            self._moved.pop(key, None)
            self.moved_nbytes -= datum.shared_nbytes

    def drop_all(self, keys: Iterable[Key]) -> None:
        """Forget results.

        Raises:
            KeyError: one is not there.
        """
        keys = list(keys)
        data = list(map(self._data.pop, keys))
        give_back(self._data)
        if _are_plain(data):
            self.nbytes -= sum([datum.nbytes for datum in data])
        else:
            for key, datum in zip(keys, data, strict=True):
                self._forget(key, datum)

    def clear(self) -> None:
        """Forget everything."""
        self._data.clear()
        self._large.clear()
        self._moved.clear()
        self.nbytes = self.shared_nbytes = self.spilled_nbytes = self.moved_nbytes = 0

    # --- spilling ---

    @property
    def can_spill(self) -> bool:
        """True if ``take_coldest`` gives something."""
        return bool(self._large)

    def take_coldest(self) -> tuple[Key, Datum] | None:
        """The large result in memory that was used least recently. It is not offered again.

        One of ``spilled`` and ``offer`` may follow; neither does for what cannot be pickled.
        """
        return self._large.popitem(last=False) if self._large else None

    @property
    def can_take_away(self) -> bool:
        """True if ``take_coldest_moved`` gives something: not what may be on its way to somebody who asked for it."""
        return bool(self._moved) and self._clock() - next(iter(self._moved.values())).used >= SETTLED

    def take_coldest_moved(self) -> tuple[Key, Datum] | None:
        """The same of what this worker has put into shared memory."""
        return self._moved.popitem(last=False) if self.can_take_away else None

    def spilled(self, key: Key, datum: Datum, file: SpillFile) -> bool:
        """What ``take_coldest`` gave is in a file. False if it is not wanted there: it was dropped, or is in use."""
        if self._data.get(key) is not datum:
            return False
        own, shared = datum.own_nbytes, datum.shared_nbytes
        if not datum.spill(file):
            self._order_of(datum)[key] = datum
            return False
        self.nbytes -= own
        self.shared_nbytes -= shared
        if datum.moved:
            self.moved_nbytes -= shared
        self.spilled_nbytes += file.nbytes
        return True

    def offer(self, key: Key, datum: Datum) -> None:
        """What ``take_coldest`` gave could not be written: the next time it may be."""
        if self._data.get(key) is datum:
            order = self._order_of(datum)
            order[key] = datum
            order.move_to_end(key, last=False)

    def _order_of(self, datum: Datum) -> OrderedDict[Key, Datum]:
        return self._moved if datum.moved else self._large


def _are_plain(data: Sequence[Datum]) -> bool:
    """True if all are neither shared, nor on disk, nor worth being put there."""
    return all(datum.nbytes < SPILL_MIN and not datum.shared_nbytes and datum._file is None for datum in data)
